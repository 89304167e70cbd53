"""The OpenAPI document, of which clients are generated: they check by it what they send and what they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, Business, ids_of, mine

__all__ = ["mine"]  # a fixture

#: Operations, and bodies that they take: odd, but right.
_TAKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/webhook-endpoints", {"url": "https://shop.example:8443/hook?key=a%20b&n=1#x", "rate_limit": "10/1s"}),
    ("POST", "/webhook-endpoints", {"url": "https://bücher.example/Ä", "headers": [{"name": "X-Shop", "value": "a b"}]}),
    ("PATCH", "/chatbots/{chatbot_id}", {"time_zone": "America/Argentina/Buenos_Aires"}),
    ("PATCH", "/chatbots/{chatbot_id}", {"allowed_origins": ["http://localhost:3000", "https://bücher.example", "192.0.2.7"]}),
    ("PATCH", "/chatbots/{chatbot_id}", {"name": "\n Nora", "system_prompt": "  You are\nNora."}),
    ("POST", "/knowledge-bases/{base_id}/items", {"title": "x", "content": " y", "url": "https://shop.example/?p=1&q=ü"}),
    ("POST", "/knowledge-bases/{base_id}/sources", {"url": "https://shop.example/help?lang=de"}),
]


@pytest.fixture
def document(door: FrontDoor) -> dict[str, Any]:
    return dict(door.client.get(f"{API}/openapi.json").json or {})


def schemas_of(document: dict[str, Any], part: Any) -> set[str]:
    """Names of all that a part of the document is made of."""
    waiting, found = [part], set[str]()
    while waiting:
        names = set(re.findall(r"#/components/schemas/(\w+)", str(waiting.pop()))) - found
        found |= names
        waiting += [document["components"]["schemas"][name] for name in names]
    return found


def answers_of(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of all that is answered when nothing is wrong."""
    operations = [one for path in document["paths"].values() for one in path.values() if isinstance(one, dict)]
    right = [about for one in operations for status, about in one["responses"].items() if status.startswith("2")]
    return {name: document["components"]["schemas"][name] for name in schemas_of(document, right)}


def patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict) and isinstance(part.get("pattern"), str):
        yield part["pattern"]
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from patterns(inner)


@pytest.mark.parametrize(("method", "path", "body"), _TAKEN)
def test_what_is_taken_fits_the_document(
    mine: Business, document: dict[str, Any], method: str, path: str, body: dict[str, Any]
) -> None:
    content = document["paths"][f"{API}{path}"][method.lower()]["requestBody"]["content"]["application/json"]
    assert jsonschema_rs.validator_for({**document, **content["schema"]}).is_valid(body)
    answer = mine(method, path.format(**ids_of(mine)), body)
    assert answer.status_code < 300, answer.text


#: The same, and bodies that are refused.
_REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/conversations/{conversation_id}/messages", {"content": "Which?", "choices": [{"title": ""}]}),
    ("POST", "/conversations/{conversation_id}/messages", {"content": "Which?", "choices": [{"title": "a", "id": " "}]}),
    ("POST", "/conversations/{conversation_id}/messages", {"content": "Which?", "choices": [{"title": "a", "description": ""}]}),
    ("POST", "/conversations/{conversation_id}/messages", {"template": {"name": "", "language": "de"}}),
    ("POST", "/conversations/{conversation_id}/messages", {"template": {"name": "order", "language": ""}}),
    ("POST", "/quick-replies", {"shortcut": "hi", "content": ""}),
]


@pytest.mark.parametrize(("method", "path", "body"), _REFUSED)
def test_a_blank_that_is_refused_does_not_fit_the_document(
    mine: Business, document: dict[str, Any], method: str, path: str, body: dict[str, Any]
) -> None:
    content = document["paths"][f"{API}{path}"][method.lower()]["requestBody"]["content"]["application/json"]
    assert not jsonschema_rs.validator_for({**document, **content["schema"]}).is_valid(body)
    assert mine(method, path.format(**ids_of(mine)), body).status_code == 422


def test_each_operation_with_a_body_says_that_it_may_come_too_slowly(document: dict[str, Any]) -> None:
    operations = [one for path in document["paths"].values() for one in path.values() if "requestBody" in one]
    assert operations
    assert [one["operationId"] for one in operations if "408" not in one["responses"]] == []


def test_each_post_says_that_a_body_may_be_too_large(mine: Business, document: dict[str, Any]) -> None:
    posts = [path["post"] for path in document["paths"].values() if "post" in path]
    assert [one["operationId"] for one in posts if "413" not in one["responses"]] == []
    answer = mine("POST", f"/webhook-events/{ids_of(mine)['event_id']}/resend", {"x": "x" * 100_000})
    assert answer.status_code == 413


def test_an_answer_with_any_time_zone_fits_the_document(mine: Business, document: dict[str, Any]) -> None:
    answer = mine("PATCH", f"/chatbots/{ids_of(mine)['chatbot_id']}", {"time_zone": "America/New_York"})
    stored = {**document, "$ref": "#/components/schemas/StoredChatbot"}
    assert jsonschema_rs.validator_for(stored).is_valid(answer.json)


def test_patterns_mean_the_same_in_javascript(document: dict[str, Any]) -> None:
    found = set(patterns(document))
    assert len(found) > 5
    assert [one for one in found if re.search(r"\\[AZz]|\(\?[^:=!]", one)] == []


def test_an_answer_may_get_new_members_and_has_all_that_it_names(document: dict[str, Any]) -> None:
    answers = answers_of(document)
    assert len(answers) > 40
    assert [name for name, schema in answers.items() if schema.get("additionalProperties") is False] == []
    sometimes = {name: set(schema["properties"]) - set(schema.get("required", ())) for name, schema in answers.items()}
    #: A new secret; how far a call came.
    assert {name: members for name, members in sometimes.items() if members} == {
        "EndpointWithSecret": {"secret"},
        "Phases": {"resolve", "connect", "tls", "answer"},
    }


def test_a_list_of_events_in_an_answer_may_have_new_ones(document: dict[str, Any]) -> None:
    """CHANGES.md promises that events may come at any time."""
    assert "enum" not in document["components"]["schemas"]["Endpoint"]["properties"]["events"]["items"]


def test_operations_stand_in_sections_and_the_server_is_named(document: dict[str, Any]) -> None:
    sections = {tag for path in document["paths"].values() for one in path.values() if "tags" in one for tag in one["tags"]}
    assert {"conversations", "knowledge-bases", "webhook-endpoints"} <= sections
    assert document["servers"] == [{"url": "/"}]
    assert [section["name"] for section in document["tags"]] == sorted(sections), "each is named once"


def test_each_parameter_of_a_query_says_what_it_is_for(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for name, operation in path.items() if name != "parameters"]
    given = [one for operation in operations for one in operation.get("parameters", []) if one["in"] == "query"]
    assert given
    assert [one["name"] for one in given if not one.get("description")] == []
