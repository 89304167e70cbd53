"""Odd values in every parameter and field of the API: refused or taken, no error of ours, and none reaches another's rows.

Valid bodies are made of the document; one field at a time is replaced. The same values go to the same fields in each run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

import pytest

from shared import config, db
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, BODIES, Business, free_keys, ids_of, mine

__all__ = ["mine"]  # a fixture

#: As JSON, for a lone surrogate can only be written so. The megabyte is by itself: it takes long.
ODD = (
    r'"\u0000"',
    r'"\ud800"',
    r'"a\udfffb"',
    r'"\u202e\u200f\u2066\u2028\ufeff"',
    '"👩‍👩‍👧‍👦🏴‍☠️é̂"',
    r'"100%_\\ \\0 %s %(x)s {} {0}"',
    '"\'; drop table message; --"',
    '"<script>alert(1)</script>{{7*7}}"',
    "9" * 400,
    "-1",
    "0",
    "1e999",
    str(2**63),
    str(-(2**63) - 1),
    '"' + "9" * 400 + '"',
    '"2026-02-31T25:61:00Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    "true",
    "null",
    "[]",
    '[["\\u0000"]]',
    '{"\\ud800": {"\\u0000": 1}}',
    '""',
)
_MEGABYTE = '"' + "ä" * 500_000 + '"'
#: Values that each place gets, of all of them in turn; of paths and queries more, for they are few.
_EACH, _EACH_PARAMETER = 5, 8
#: What is written into the other business's rows, and must be in no answer.
_SECRET = "zebra-4711"


def valid(schema: dict[str, Any], all_schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value that fits a schema, as far as the document says it."""
    if name := schema.get("$ref"):
        schema = all_schemas[name.rpartition("/")[2]]
    for several in ("allOf", "anyOf", "oneOf"):
        if several in schema:
            return valid(schema[several][0], all_schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "object")
    match kinds if isinstance(kinds, str) else kinds[0]:
        case "object":
            members = schema.get("properties", {}) if depth < 4 else {}
            return {name: valid(one, all_schemas, depth + 1) for name, one in members.items() if not one.get("readOnly")}
        case "array":
            return [valid(schema.get("items", {"type": "string"}), all_schemas, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return "2026-11-26T10:00:00Z" if schema.get("format") == "date-time" else "x"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a body, the whole first."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        yield from places(inner, (*path, name))


def with_odd(body: Any, place: tuple[Any, ...], odd: str) -> str:
    """The body as text, with an odd value at a place."""
    if not place:
        return odd
    changed = json.loads(json.dumps(body))
    parent = changed
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = "%odd%"
    return json.dumps(changed).replace('"%odd%"', odd)


def as_text(odd: str) -> str:
    """As a path or a query has it, percent-encoded; a lone surrogate is bytes that are no UTF-8."""
    value = json.loads(odd, parse_int=str, parse_float=str)
    return quote((value if isinstance(value, str) else odd).encode("utf-8", "surrogatepass"), safe="")


def rows_of(customer: int) -> Any:
    """What the other business has, as it is stored."""
    tables = {
        "customer": "id",
        "chatbot": "customer_id",
        "knowledge_base": "customer_id",
        "webhook_endpoint": "customer_id",
        "webhook_event": "customer_id",
        "usage_log": "customer_id",
    }
    return {
        table: db.rows(f"select md5(string_agg(t::text, ' ' order by id)) as rows from {table} t where {column} = %s", [customer])
        for table, column in tables.items()
    }


def test_odd_values_are_no_error_of_ours_and_reach_nobody_else(
    door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "1000000")
    config.reset()
    customer, chatbot = door.world.tenant(webhook=True)
    db.rows("update chatbot set name = %s where id = %s", [_SECRET, chatbot])
    known = {name: str(value) for name, value in ids_of(mine).items()}
    before, document = rows_of(customer), door.client.get(API + "/openapi.json").json or {}
    schemas, odd_ones = document["components"]["schemas"], cycle(ODD)
    sent, taken, failed = 0, 0, list[tuple[Any, ...]]()

    def send(method: str, path: str, body: str = "{}") -> None:
        nonlocal sent, taken
        sent += 1
        headers = {"Authorization": f"Bearer {mine.key}", "Content-Type": "application/json"}
        answer = door.client.open(path, method=method.upper(), data=body, headers=headers)
        taken += answer.status_code < 300
        if answer.status_code >= 500 or _SECRET in answer.text or "Traceback" in answer.text:
            failed.append((answer.status_code, method, path[:200], body[:200]))

    for template, methods in document["paths"].items():
        for method, about in methods.items():
            if method == "parameters":
                continue
            free_keys()
            parameters = [*methods.get("parameters", ()), *about.get("parameters", ())]
            own = {one["name"]: known.get(one["name"], "1") for one in parameters if one["in"] == "path"}
            for name in own:
                for odd in (*map(as_text, islice(odd_ones, _EACH_PARAMETER)), str(chatbot), str(customer)):
                    send(method, template.format(**{**own, name: odd}))
            if method == "delete":  # what is there is for the others
                continue
            path = template.format(**own)
            for one in parameters:
                if one["in"] == "query":
                    for odd in islice(odd_ones, _EACH_PARAMETER):
                        send(method, f"{path}?{one['name']}={as_text(odd)}")
            if content := about.get("requestBody", {}).get("content", {}).get("application/json"):
                full = valid(content["schema"], schemas)
                accepted = BODIES.get(about["operationId"], full)
                for place in places(full):
                    body = {**accepted, **{name: full[name] for name in place[:1]}}
                    for odd in islice(odd_ones, _EACH):
                        send(method, path, with_odd(body, place, odd))
                send(method, path, with_odd(accepted, tuple(full)[:1], _MEGABYTE))
    assert not failed, failed[:20]
    assert (sent > 1_000, taken > 50) == (True, True), (sent, taken)
    assert rows_of(customer) == before
