"""What a producer may send; property tests look for what the examples forgot."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import validate
from marshmallow.fields import List, Nested

from shared.channels.registry import CHANNELS, channel
from shared.errors import InvalidPayload, PermanentError
from shared.payloads import IncomingMessage, Schema, WebhookDelivery, check, read
from shared.queues import Queue
from shared.teaching import fields
from shared.teaching.hours import opening_hours_field
from tests.unit.texts import BLANK, SEEN

GOOD = {"chatbot_id": 1, "channel": "widget", "external_user_id": "v-1", "content": "Hello"}

BAD = [
    ("chatbot_id", "1", "must be a whole number (got '1')"),
    ("chatbot_id", 0, "positive row id"),
    ("chatbot_id", 2**63, "positive row id"),
    ("chatbot_id", None, "must not be null"),
    ("channel", "pigeon", "must be one of widget, whatsapp_cloud, whatsapp_qr, telegram (got 'pigeon')"),
    ("channel", 7, "must be a text (got 7)"),
    ("external_user_id", "", "must not be empty"),
    ("external_user_id", "x" * 256, "at most 255"),
    ("external_id", "a\x00b", "NUL"),
    ("content", "   ", "must not be empty"),
    *(("content", blank, "must not be empty") for blank in BLANK),
    ("content", "x" * 16_001, "must have at most 16000 characters on widget, and has 16001"),
    ("metadata", [], "must be an object"),
    ("colour", "red", "is unknown here; known: chatbot_id, channel, external_user_id, content, external_id, "),
]


@pytest.mark.parametrize(("field", "value", "says"), BAD)
def test_a_wrong_field_is_named_with_what_it_got_and_wants(field: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        check(IncomingMessage, "message", {**GOOD, field: value})
    assert list(caught.value.errors) == [field]
    assert says in str(caught.value)


@pytest.mark.parametrize("text", SEEN)
def test_what_is_joined_by_characters_that_nobody_sees_is_a_text(text: str) -> None:
    assert check(IncomingMessage, "message", {**GOOD, "content": text})["content"] == text
    assert re.match(fields.NOT_BLANK, text)


@pytest.mark.parametrize("field", ["chatbot_id", "channel", "external_user_id", "content"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(InvalidPayload, match=f"{field}: must be given"):
        check(IncomingMessage, "message", {name: value for name, value in GOOD.items() if name != field})


def test_a_customers_words_are_not_repeated_in_errors() -> None:
    with pytest.raises(InvalidPayload) as caught:
        check(IncomingMessage, "message", {**GOOD, "channel": "whatsapp_cloud", "content": "my secret " * 14_000})
    assert "secret" not in str(caught.value)


_ENTRY = {"kind": "own", "model": "m", "api_key": "sk-abc"}


class _Entry(Schema):
    kind = fields.choice("own", "platform")
    model = fields.text(200, required=True)
    api_key = fields.text(20)


class _Chatbot(Schema):
    providers = List(Nested(_Entry), validate=validate.Length(1, 5, error="must name 1 to 5 providers"))
    opening_hours = opening_hours_field()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"providers": [_ENTRY, {"api_key": "sk-abc"}]}, "providers: number 2, model: must be given (got nothing)"),
        ({"providers": [{**_ENTRY, "kind": "x"}]}, "providers: number 1, kind: must be one of own, platform (got 'x')"),
        (
            {"providers": [{**_ENTRY, "api_key": "sk-abc" * 5}]},
            "providers: number 1, api_key: must have at most 20 characters (got a text)",
        ),
        (
            {"providers": [{**_ENTRY, "key": "sk-abc"}]},
            "providers: number 1, key: is unknown here; known: kind, model, api_key (got a text)",
        ),
        ({"providers": [[_ENTRY]]}, "providers: number 1: must be an object (got a list of 1)"),
        ({"providers": _ENTRY}, "providers: must be a list (got an object)"),
        ({"providers": [_ENTRY] * 6}, "providers: must name 1 to 5 providers (got a list of 6)"),
        (
            {"opening_hours": {"monday": []}},
            "opening_hours: monday: days are mon, tue, wed, thu, fri, sat, sun (got 'monday')",
        ),
        ({"opening_hours": {"mon": "9-17"}}, "opening_hours: mon: must be a list (got '9-17')"),
        ({"opening_hours": {"mon": []}}, "opening_hours: mon: must have 1 to 8 openings (got a list of 0)"),
        (
            {"opening_hours": {"mon": [["09:00", "9"]]}},
            "opening_hours: mon, number 1, number 2: must be a time, such as 09:00 (got '9')",
        ),
        ({"provider_api_key": "sk-abc"}, "provider_api_key: is unknown here; known: providers, opening_hours (got a text)"),
    ],
)
def test_an_error_inside_a_list_says_where_it_is_and_repeats_no_key(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        check(_Chatbot, "chatbot", data)
    assert str(caught.value) == f"chatbot refused: {says}"


@pytest.mark.parametrize("event", ["message.sent\n", "message", "Message.sent", "message.sent ", ".sent", "message..sent"])
def test_an_events_name_is_a_name(event: str) -> None:
    with pytest.raises(InvalidPayload, match=r"must be a name like message\.sent"):
        check(WebhookDelivery, "event", {"endpoint_id": 1, "event": event, "data": {}})


@given(
    name=st.sampled_from(list(CHANNELS)),
    content=st.text(min_size=1, max_size=4_096).filter(lambda text: re.match(fields.NOT_BLANK, text) and "\x00" not in text),
    chatbot_id=st.integers(1, 2**63 - 1),
)
@settings(max_examples=100, deadline=None)
def test_what_fits_a_channel_is_accepted_unchanged(name: str, content: str, chatbot_id: int) -> None:
    loaded = check(IncomingMessage, "message", {**GOOD, "channel": name, "content": content, "chatbot_id": chatbot_id})
    assert (loaded["content"], loaded["chatbot_id"], loaded["channel"]) == (content, chatbot_id, name)


@given(st.dictionaries(st.text(max_size=20), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers())), max_size=6))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_and_never_crashes(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload):
        check(IncomingMessage, "message", data)


@pytest.mark.parametrize("payload", [None, [], "text", {}, {"message_id": "x"}, {"message_id": -1, "conversation_id": 1}])
def test_a_garbage_row_is_permanent(payload: Any) -> None:
    with pytest.raises(PermanentError, match="bad payload"):
        read(Queue.AI, payload)


def test_whatsapp_takes_4096_characters() -> None:
    assert channel("whatsapp_cloud").max_content == channel("whatsapp_qr").max_content == 4_096
