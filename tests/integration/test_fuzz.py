"""Whatever is sent to whichever route, it is no error of ours."""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import quote_from_bytes

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from shared import db
from tests.integration.front_door import DASHBOARD, METRICS, QR_SECRET, FrontDoor
from web.api import keys
from web.widget.visitor import new_token

#: What is put where a route has a name or a number.
SEGMENTS = st.one_of(
    st.sampled_from(["1", "0", "-1", "9" * 30, "s1", "pk_x", "..", "%00", "%ff", "%c3%28", "%2e%2e", "a%2fb", "\u0660", "null"]),
    st.binary(min_size=1, max_size=12).map(lambda raw: quote_from_bytes(raw, safe="")),
)


def one_of(words: str) -> st.SearchStrategy[str]:
    """One of these words."""
    return st.sampled_from(words.split())


MEMBERS = one_of(
    "content url events active entry changes value messages statuses contacts metadata id phone_number_id from type text body "
    "event payload data key remoteJid session instance object"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | MEMBERS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from([b"", b"{", b"[1e999]", b"[NaN]", b'"\\ud800"', b"\xff", b"\x00", b"[" * 40_000, b'{"content": "\\u0000"}']),
)
VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)
NAMES = one_of(
    "Authorization Origin Content-Type Idempotency-Key Last-Event-ID Cookie Accept Range If-None-Match X-Hub-Signature-256 "
    "apikey X-Webhook-Hmac X-Forwarded-For X-HTTP-Method-Override Content-Encoding"
)
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "before", "after", "from", "days", "chatbot_id", "hub.mode", "hub.challenge", "cursor", "x"]),
    VALUES | st.sampled_from(["0", "1", "-1", "9" * 40, "2026-02-31", "\u0661"]),
    max_size=3,
)
METHODS = st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])


def path_of(rule: Any, data: st.DataObject) -> str:
    """An address of a route."""
    parts = [data.draw(SEGMENTS) if is_dynamic else text for is_dynamic, text in rule._trace]
    return "".join(parts).replace("|", "", 1)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_is_an_error_of_ours(door: FrontDoor, data: st.DataObject) -> None:
    chatbot = db.row("select id, customer_id, public_key from chatbot order by id limit 1") or {}
    rule = data.draw(st.sampled_from(sorted(door.app.url_map.iter_rules(), key=str)))
    path = path_of(rule, data).replace("pk_x", chatbot["public_key"]).replace("s1", door.session)
    proofs = {
        "visitor": {"Authorization": f"Bearer {new_token(chatbot['id'])}"},
        "key": {"Authorization": f"Bearer {_key(door, chatbot['customer_id'])}"},
        "metrics": {"Authorization": f"Bearer {METRICS}"},
        "gateway": {"apikey": QR_SECRET},
        "none": {},
    }
    headers = {**proofs[data.draw(st.sampled_from(sorted(proofs)))], "Content-Type": "application/json"}
    headers |= data.draw(st.dictionaries(NAMES, VALUES, max_size=2))
    auth = DASHBOARD if path.startswith("/dashboard") and data.draw(st.booleans()) else None
    body, method, query = data.draw(BODIES), data.draw(METHODS), data.draw(QUERIES)
    if data.draw(st.booleans()) and path.startswith("/webhooks/whatsapp/cloud"):
        answer = door.meta(body)
    else:
        answer = door.client.open(path, method=method, headers=headers, data=body, query_string=query, auth=auth)
    assert answer.status_code < 500, (method, path, query, headers, body, answer.text)
    assert "Traceback" not in answer.text


def _key(door: FrontDoor, customer_id: int) -> str:
    stored = door.app.extensions.setdefault("test-key", {})
    if customer_id not in stored:
        stored[customer_id] = keys.create(customer_id, "fuzz")
    return str(stored[customer_id])


def test_there_is_nothing_printable_that_a_path_may_not_have(door: FrontDoor) -> None:
    for character in string.printable:
        answer = door.client.get(f"/widget/x{quote_from_bytes(character.encode())}")
        assert answer.status_code == (400 if ord(character) < 32 else 404), repr(character)
