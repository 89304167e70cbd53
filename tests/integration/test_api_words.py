"""What the API says of wrong input: which member, what is wrong, what is right, in words of ours."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import Schema, fields

from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business, ids_of, mine, path_of

__all__ = ["mine"]  # a fixture

WRONG: tuple[Any, ...] = (
    *(None, 0, -1, 1.5, 10**30, True, "", " ", "x", "x y" * 1_000, "\u200b", "2026-11-29T10:00:00"),
    *([], [1], [None], ["x"], ["x"] * 300, [[]], [{}], [{"x": 1}], {}, {"x": 1}, {"x": []}, [{"title": "x" * 300, "id": 7}]),
)
#: How texts of marshmallow and of Python begin, and what they are made of.
FOREIGN = re.compile(r"(^|: )[A-Z]|\b(Missing data|[Nn]ot a valid|[Uu]nknown field|[Ll]ength|[Ii]nvalid|True|False|None)\b")


def schemas_of(view: Any, location: str) -> Iterator[Schema]:
    given = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    for schema in (one["schema"] for one in given if one["in"] == location):
        yield schema() if inspect.isclass(schema) else schema


def refused(mine: Business, door: FrontDoor) -> Iterator[tuple[str, str]]:
    """Each refusal of a wrong body: the member, and what is said of it."""
    ids: dict[str, Any] = {**ids_of(mine), "channel": "whatsapp_cloud"}
    for rule in door.app.url_map.iter_rules():
        if not rule.endpoint.startswith("api."):
            continue
        path = path_of(rule.rule, ids)
        [method] = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        for schema in schemas_of(door.app.view_functions[rule.endpoint], "json"):
            for name in [*schema.fields, "unheard_of"]:
                for value in WRONG:
                    answer = mine(method, path, {name: value})
                    if answer.status_code == 422 and answer.json:
                        yield from answer.json.get("errors", {}).items()


def test_a_wrong_member_is_told_in_words_of_ours(mine: Business, door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "100000")
    texts = {text for _, text in refused(mine, door)}
    assert len(texts) > 120
    assert sorted(text for text in texts if FOREIGN.search(text.partition(" (got ")[0]) or re.search(r"\(got [TF]", text)) == []


@pytest.mark.parametrize(
    ("path", "member", "value", "text"),
    [
        ("/keys", "name", None, "must not be null"),
        ("/keys", "nmae", "x", "is unknown here; known: name (got 'x')"),
        ("/conversations/{conversation_id}/messages", "choices", [{}], "number 1, title: must be given (got nothing)"),
        ("/conversations/{conversation_id}/messages", "choices", [], "must be 1 to 10 choices (got a list of 0)"),
        ("/conversations/{conversation_id}/messages", "choices", ["a"], "number 1: must be an object (got 'a')"),
        ("/conversations/{conversation_id}/messages", "content", True, "must be a text (got true)"),
        ("/webhook-endpoints", "events", "x", "must be a list (got 'x')"),
        ("/webhook-endpoints", "description", "x" * 201, "must have at most 200 characters (got a text of 201 characters)"),
        ("/webhook-endpoints", "chatbots", ["x"], "number 1: must be an id, a whole number above 0 (got 'x')"),
        (
            "/chatbots",
            "allowed_origins",
            ["*"],
            "number 1: must name each site, without wildcards: https://shop.example, https://www.shop.example; got '*'",
        ),
    ],
)
def test_a_text_says_what_is_right(mine: Business, path: str, member: str, value: Any, text: str) -> None:
    answer = mine("POST", path.format(**ids_of(mine)), {member: value})
    assert answer.status_code == 422
    assert (answer.json or {})["errors"][member] == text


@pytest.mark.parametrize(
    ("method", "path", "member"),
    [
        ("PATCH", "/webhook-endpoints/{endpoint_id}", "active"),
        ("PATCH", "/chatbots/{chatbot_id}", "can_see"),
        ("POST", "/conversations/{conversation_id}/messages", "take_over"),
    ],
)
@pytest.mark.parametrize("value", [0, 1, 0.0])
def test_a_number_is_not_true_or_false(mine: Business, method: str, path: str, member: str, value: float) -> None:
    answer = mine(method, path.format(**ids_of(mine)), {"content": "x", member: value} if method == "POST" else {member: value})
    assert answer.status_code == 422, answer.text
    assert (answer.json or {})["errors"][member] == f"must be true or false (got {json.dumps(value)})"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/webhook-endpoints/{endpoint_id}/recover", "since must be given."),
        (
            "/webhook-endpoints/{endpoint_id}/recover?since=yesterday",
            "since must be a time with its zone, like 2026-11-26T17:00:00Z, got 'yesterday'.",
        ),
        (
            "/webhook-endpoints/{endpoint_id}/recover?since=2026-11-26T17:00:00+01:00",
            "since must be a time with its zone, like 2026-11-26T17:00:00Z, got '2026-11-26T17:00:00 01:00'; in an address + is"
            " written %2B.",
        ),
        ("/knowledge-bases/{base_id}/search?q=%20", "q must not be empty."),
        ("/conversations?owner=x", "owner must be one of bot, person, closed."),
        ("/conversations?before=0", "before must be a whole number of at least 1, got '0'."),
        ("/conversations?limit=0", "limit must be a whole number from 1 to 100, got '0'."),
    ],
)
def test_a_wrong_parameter_is_told_in_a_sentence(mine: Business, path: str, detail: str) -> None:
    answer = mine("GET", path.format(**ids_of(mine)))
    assert answer.status_code == 400
    assert (answer.json or {})["detail"] == detail


def test_another_method_is_told_which_ones_there_are(mine: Business) -> None:
    answer = mine("DELETE", f"/conversations/{ids_of(mine)['conversation_id']}")
    assert answer.status_code == 405
    assert (answer.json or {})["detail"] == "There is no DELETE here. This address takes GET, HEAD, OPTIONS, PATCH."
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS", "PATCH"}


def test_each_parameter_is_told_so(door: FrontDoor, mine: Business) -> None:
    told, ids = set(), {**ids_of(mine), "channel": "whatsapp_cloud"}
    for rule in door.app.url_map.iter_rules():
        if rule.endpoint.startswith("api."):
            path = path_of(rule.rule, ids)
            for schema in schemas_of(door.app.view_functions[rule.endpoint], "query"):
                for name, field in schema.fields.items():
                    assert isinstance(field, fields.Field)
                    answer = mine("GET", f"{path}?{field.data_key or name}=%20%5Bx")
                    if answer.status_code != 200:  # of `q`, which is a text
                        told.add((answer.json or {})["detail"])
    assert len(told) > 10
    assert [text for text in told if not text.endswith(".") or FOREIGN.search(text)] == []
