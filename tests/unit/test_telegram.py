"""Telegram's updates by kind, and what its errors mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.channels.choices import Choice
from shared.channels.inbound import (
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    MalformedItem,
)
from shared.channels.kinds import Kind, MediaKind
from shared.channels.outcomes import ProviderFailed
from shared.channels.telegram import send
from shared.channels.telegram.errors import classify_error
from shared.channels.telegram.send import is_topic_gone
from shared.channels.telegram.updates import parse_body, pressed_button
from shared.errors import OutcomeUnknown, PermanentRefusal, Snooze
from shared.http import Response
from tests.unit.texts import BLANK, SEEN

ANA = {"id": 42, "is_bot": False, "first_name": "Ana", "last_name": "Silva"}


def item_of(update: dict[str, Any]) -> InboundItem:
    """The one item of an update."""
    [item] = parse_body("123456789", {"update_id": 1, **update}).items
    return item


def message(**content: Any) -> dict[str, Any]:
    """A message of Ana's."""
    return {"message_id": 7, "from": ANA, "chat": {"id": 42, "type": "private"}, "date": 1739321024, **content}


def read(**content: Any) -> InboundMessage:
    """What a message of hers becomes."""
    item = item_of({"message": message(**content)})
    assert isinstance(item, InboundMessage)
    return item


def test_a_text() -> None:
    item = read(text="When do you ship?", reply_to_message={"message_id": 5})
    assert (item.external_user_id, item.external_id, item.content) == ("42", "42:7", "When do you ship?")
    assert (item.sent_at, item.data, item.metadata) == (1739321024.0, {"quoted": {"id": "42:5"}}, {"profile_name": "Ana Silva"})


SIZES = [{"file_id": "small", "width": 90, "height": 60}, {"file_id": "large", "width": 900, "height": 600, "file_size": 7}]


@pytest.mark.parametrize(
    ("content", "kind", "file_id", "words"),
    [
        ({"voice": {"file_id": "v", "mime_type": "audio/ogg", "duration": 3}}, MediaKind.VOICE, "v", "[voice]"),
        ({"audio": {"file_id": "a", "file_name": "song.mp3"}}, MediaKind.AUDIO, "a", "[audio]"),
        ({"photo": SIZES, "caption": "in red?"}, MediaKind.IMAGE, "large", "in red?"),
        ({"photo": SIZES, "media_group_id": "9"}, MediaKind.IMAGE, "large", "[photo]"),
        ({"video": {"file_id": "x"}}, MediaKind.VIDEO, "x", "[video]"),
        ({"video_note": {"file_id": "x"}}, MediaKind.VIDEO, "x", "[video_note]"),
        ({"animation": {"file_id": "x"}, "document": {"file_id": "y"}}, MediaKind.VIDEO, "x", "[animation]"),
        ({"document": {"file_id": "d", "file_name": "a.pdf", "file_size": 9}}, MediaKind.DOCUMENT, "d", "[document]"),
        ({"sticker": {"file_id": "s", "emoji": "👍"}}, MediaKind.STICKER, "s", "👍"),
        ({"sticker": {"file_id": "s"}}, MediaKind.STICKER, "s", "[sticker]"),
    ],
)
def test_files(content: dict[str, Any], kind: MediaKind, file_id: str, words: str) -> None:
    item = read(**content)
    [file] = item.media
    assert (item.kind, item.content, file.kind, file.source) == (Kind.MEDIA, words, kind, {"file_id": file_id})
    assert item.data == ({"album": "9"} if "media_group_id" in content else {})


def test_pictures_that_were_paid_for_are_files_and_previews_of_others_none() -> None:
    shown = [{"type": "photo", "photo": SIZES}, {"type": "video", "video": {"file_id": "x"}}, {"type": "preview", "width": 9}]
    item = read(paid_media={"star_count": 5, "paid_media": shown}, caption="Like these?")
    assert [(file.kind, file.source["file_id"]) for file in item.media] == [(MediaKind.IMAGE, "large"), (MediaKind.VIDEO, "x")]
    assert (item.kind, item.content, item.metadata["attachment"]) == (Kind.MEDIA, "Like these?", "paid_media")
    item = read(paid_media={"star_count": 5, "paid_media": shown[2:]})
    assert (item.media, item.metadata["unsupported"]) == ((), "paid_media")


@pytest.mark.parametrize(
    ("content", "kind", "data"),
    [
        (
            {"location": {"latitude": 52.5, "longitude": 13.4}},
            Kind.LOCATION,
            {"location": {"latitude": 52.5, "longitude": 13.4}},
        ),
        (
            {
                "location": {"latitude": 1.0, "longitude": 2.0},
                "venue": {"location": {"latitude": 1.0, "longitude": 2.0}, "title": "Shop", "address": "Main St 1"},
            },
            Kind.LOCATION,
            {"location": {"latitude": 1.0, "longitude": 2.0, "name": "Shop", "address": "Main St 1"}},
        ),
        (
            {"contact": {"phone_number": "+4930", "first_name": "Bo", "last_name": "Li"}},
            Kind.CONTACT,
            {"contacts": [{"name": "Bo Li", "phones": ["+4930"]}]},
        ),
        (
            {"poll": {"question": "When?", "options": [{"text": "Fri"}, {"text": "Sat"}]}},
            Kind.POLL,
            {"poll": {"question": "When?", "options": ["Fri", "Sat"]}},
        ),
    ],
)
def test_what_is_more_than_words(content: dict[str, Any], kind: Kind, data: dict[str, Any]) -> None:
    item = read(**content)
    assert (item.kind, item.data) == (kind, data)
    assert "unsupported" not in item.metadata


@pytest.mark.parametrize(
    ("text", "words", "kind"),
    [
        ("/start", "👋", Kind.TEXT),
        ("/Start@tea_bot ", "👋", Kind.TEXT),
        ("/help", "help", Kind.TEXT),
        ("/order_status@tea_bot 4711\nplease", "order status 4711\nplease", Kind.TEXT),
        ("/stop", "/stop", Kind.SYSTEM),
        ("/stopp", "stopp", Kind.TEXT),
        ("/stop Wie kündige ich?", "stop Wie kündige ich?", Kind.TEXT),
        ("/start Wie lange dauert es?", "Wie lange dauert es?", Kind.TEXT),
        ("/start@tea_bot\nHallo", "Hallo", Kind.TEXT),
        ("/etc/hosts", "/etc/hosts", Kind.TEXT),
        ("/ 5", "/ 5", Kind.TEXT),
        ("I pressed /start", "I pressed /start", Kind.TEXT),
    ],
)
def test_a_command_becomes_what_a_person_would_say(text: str, words: str, kind: Kind) -> None:
    item = read(text=text)
    assert (item.content, item.kind, item.data) == (words, kind, {})


def test_the_payload_of_a_link_is_kept_like_an_ad() -> None:
    item = read(text="/start product_4711", entities=[{"type": "bot_command", "offset": 0, "length": 6}])
    assert item.data == {"referral": {"source_type": "link", "source_id": "product_4711"}}
    assert item.content == "👋\n(comes from the link: product_4711)"
    assert read(text="/start Hallo, wo bleibt es?").data == read(text="/start\nHallo").data == {}
    assert isinstance(item_of({"message": message(text="/start x", chat={"id": -5, "type": "group"})}), IgnoredItem)


def test_an_edit_names_its_message() -> None:
    item = item_of({"edited_message": message(text="size 42", edit_date=1739321100)})
    assert isinstance(item, InboundEdit)
    assert (item.original_id, item.content, item.sent_at) == ("42:7", "size 42", 1739321100)
    assert item.message is not None
    assert isinstance(item_of({"edited_message": message(location={"latitude": 1.0, "longitude": 2.0})}), InboundEdit)
    assert isinstance(item_of({"edited_message": message(photo=SIZES)}), IgnoredItem)


LINK = {"type": "text_link", "offset": 0, "length": 4, "url": "https://shop.example/p/7"}


@pytest.mark.parametrize(
    ("content", "words", "quoted"),
    [
        ({"dice": {"emoji": "🎲", "value": 4}}, "🎲 4", None),
        ({"web_app_data": {"data": '{"size": 42, "x\\u0000": "\\ud800"}', "button_text": "Sizes"}}, "size: 42\nx\ufffd: ?", None),
        ({"web_app_data": {"data": "size 42", "button_text": "Sizes"}}, "answer: size 42", None),
        ({"checklist": {"title": "To buy", "tasks": [{"id": 1, "text": "a chair"}, {"id": 2}]}}, "To buy\n- a chair", None),
        (
            {"invoice": {"title": "Blue chair", "description": "Oak", "currency": "EUR", "total_amount": 5}},
            "Blue chair\nOak",
            None,
        ),
        ({"giveaway": {"winner_count": 2, "prize_description": "a chair"}}, "a chair", None),
        ({"text": "this", "entities": [LINK, {"type": "bold"}, LINK]}, "this\nhttps://shop.example/p/7", None),
        ({"text": LINK["url"], "entities": [LINK]}, "https://shop.example/p/7", None),
        ({"photo": SIZES, "caption": "this", "caption_entities": [LINK]}, "this\nhttps://shop.example/p/7", None),
        ({"text": "hi", "forward_origin": {"type": "user"}, "message_thread_id": 5, "is_topic_message": True}, "hi", None),
        ({"text": "this?", "reply_to_message": {"message_id": 5, "text": "red"}}, "this?", {"id": "42:5", "text": "red"}),
        ({"text": "this?", "reply_to_message": {"message_id": 5, "caption": "red"}}, "this?", {"id": "42:5", "text": "red"}),
        (
            {"text": "this?", "reply_to_message": {"message_id": 5, "poll": {"question": "Red?", "options": [{"text": "Yes"}]}}},
            "this?",
            {"id": "42:5", "text": "📊 Red?\n- Yes"},
        ),
        (
            {"text": "this?", "reply_to_message": {"message_id": 5, "contact": {"phone_number": "4930", "first_name": "Bo"}}},
            "this?",
            {"id": "42:5", "text": "👤 Bo, 4930"},
        ),
        (
            {"text": "this?", "reply_to_message": {"message_id": 5, "text": "red, blue"}, "quote": {"text": "red"}},
            "this?",
            {"id": "42:5", "text": "red"},
        ),
        ({"text": "this?", "external_reply": {"origin": {}}, "quote": {"text": "x" * 2_000}}, "this?", {"text": "x" * 1_000}),
        (
            {"text": "this?", "external_reply": {"message_id": 5, "poll": {"question": "Red?", "options": [{"text": "Yes"}]}}},
            "this?",
            {"text": "📊 Red?\n- Yes"},
        ),
        ({"text": "this?", "external_reply": {"message_id": 5, "photo": SIZES}}, "this?", None),
    ],
)
def test_words_that_are_not_in_the_text(content: dict[str, Any], words: str, quoted: dict[str, Any] | None) -> None:
    item = read(**content)
    assert (item.content, item.data.get("quoted")) == (words, quoted)
    assert "unsupported" not in item.metadata


@pytest.mark.parametrize("content", [
    {"paid_media": {"star_count": 5}}, {"story": {"id": 1}}, {"game": {"title": "Snake"}}, {"giveaway": {"winner_count": 2}},
    {"giveaway_winners": {"winner_count": 2}}, {"users_shared": {"request_id": 1, "users": [{"user_id": 9}]}},
    {"chat_shared": {"request_id": 1, "chat_id": -5}},
])  # fmt: skip
def test_what_no_model_can_read_is_answered_politely(content: dict[str, Any]) -> None:
    item = read(**content)
    assert item.metadata["unsupported"] == next(iter(content))


@pytest.mark.parametrize("name", ["gift", "unique_gift", "successful_payment", "refunded_payment"])
def test_people_see_what_was_given_and_nobody_has_to_answer(name: str) -> None:
    item = read(**{name: {"total_amount": 500, "currency": "EUR"}})
    assert (item.content, item.kind, "unsupported" in item.metadata) == (f"[{name}]", Kind.SYSTEM, False)


def test_a_message_of_a_topic_says_which() -> None:
    assert read(text="hi", message_thread_id=3, is_topic_message=True).metadata["topic"] == 3
    assert "topic" not in read(text="hi", message_thread_id=3).metadata, "that is a reply"
    pressed = {"message_id": 8, "chat": {"id": 42, "type": "private"}, "message_thread_id": 3, "is_topic_message": True}
    item = item_of({"callback_query": {"id": "q1", "from": ANA, "message": pressed, "data": "n"}})
    assert isinstance(item, InboundMessage)
    assert item.metadata["topic"] == 3


def test_a_place_that_moves_is_told_once() -> None:
    place = {"latitude": 1.0, "longitude": 2.0, "live_period": 900}
    assert read(location=place).kind is Kind.LOCATION
    assert isinstance(item_of({"edited_message": message(location=place, edit_date=1739321100)}), IgnoredItem)


KEYBOARD = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}], [{"text": "No", "callback_data": "n"}]]}


def test_a_pressed_button_is_a_choice_and_is_answered() -> None:
    sent = {"message_id": 8, "chat": {"id": 42, "type": "private"}, "reply_markup": KEYBOARD}
    update = {"callback_query": {"id": "q1", "from": ANA, "message": sent, "data": "n"}}
    item = item_of(update)
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.content, item.external_id) == (Kind.CHOICE, "No", "callback:q1")
    assert item.data == {"choice": {"id": "n", "title": "No"}, "quoted": {"id": "42:8"}}
    assert pressed_button(update) == "q1"
    assert pressed_button({"message": message(text="x")}) == ""


@pytest.mark.parametrize(
    ("query", "quoted"),
    [
        ({}, None),
        ({"message": {"message_id": 8, "date": 0, "chat": {"id": 42, "type": "private"}}}, {"id": "42:8"}),  # too old to be told
    ],
)
def test_a_button_of_a_message_that_is_not_told_is_a_choice(query: dict[str, Any], quoted: dict[str, Any] | None) -> None:
    item = item_of({"callback_query": {"id": "q1", "from": ANA, "data": "n", **query}})
    assert isinstance(item, InboundMessage)
    assert (item.external_user_id, item.content, item.data.get("quoted")) == ("42", "n", quoted)


def test_reactions() -> None:
    chat = {"id": 42, "type": "private"}
    for new, emoji in (([{"type": "emoji", "emoji": "👍"}], "👍"), ([{"type": "paid"}], "⭐"), ([], "")):
        item = item_of({"message_reaction": {"chat": chat, "message_id": 8, "user": ANA, "new_reaction": new}})
        assert isinstance(item, InboundReaction)
        assert (item.message_id, item.emoji) == ("42:8", emoji)


@pytest.mark.parametrize(
    "update",
    [
        {"message": message(text="hi", chat={"id": -5, "type": "group"})},
        {"message": message(text="hi", **{"from": {**ANA, "is_bot": True}})},
        {"message": message(new_chat_members=[ANA])},
        {"message": message(pinned_message={"message_id": 1})},
        {"channel_post": message(text="hi")},
        {"edited_channel_post": message(text="hi")},
        {"message": message(text="hi", chat={"id": -5, "type": "supergroup"}, message_thread_id=3, is_topic_message=True)},
        {"business_message": message(text="hi", business_connection_id="b")},
        {"edited_business_message": message(text="hi", business_connection_id="b")},
        {"deleted_business_messages": {"business_connection_id": "b", "chat": {"id": 42}, "message_ids": [7]}},
        {"callback_query": {"id": "q", "from": ANA, "inline_message_id": "i", "data": "y"}},
        {"callback_query": {"id": "q", "from": ANA, "game_short_name": "snake"}},
        *({"message": message(text=blank)} for blank in BLANK),
        *({"edited_message": message(text=blank)} for blank in BLANK[:1]),
        {"poll_answer": {"poll_id": "p", "user": ANA, "option_ids": [0]}},
        {
            "message_reaction": {
                "chat": {"id": 42, "type": "private"},
                "message_id": 8,
                "new_reaction": [{"type": "custom_emoji"}],
            }
        },
        {"my_chat_member": {"new_chat_member": {"status": "kicked"}}},
        {},
    ],
)
def test_nobody_waits_for_an_answer(update: dict[str, Any]) -> None:
    assert isinstance(item_of(update), IgnoredItem)


@pytest.mark.parametrize("text", SEEN)
def test_a_text_of_which_something_is_seen_stays_as_it_is(text: str) -> None:
    assert read(text=text).content == text


NAMES = st.sampled_from([
    "message", "edited_message", "callback_query", "message_reaction", "chat", "id", "type", "from", "text", "photo", "voice",
    "location", "venue", "contact", "poll", "options", "data", "reply_markup", "inline_keyboard", "message_id", "new_reaction",
])  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["private", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, ANYTHING, max_size=5))
def test_no_shape_breaks_the_parser(update: dict[str, Any]) -> None:
    for one in (update, {"message": message(**update)}, {"callback_query": {"id": "1", **update}}):
        item = item_of(one)
        assert not (isinstance(item, MalformedItem) and "parser" in item.reason)
        pressed_button(one)


# --------------------------------------------------------------------------------------------------------------- sending


@pytest.mark.parametrize(
    ("status", "description", "parameters", "raised", "code"),
    [
        (429, "Too Many Requests: retry after 7", {"retry_after": 7}, Snooze, "rate_limited"),
        (429, "Too Many Requests: retry after 7", {"retry_after": 6.5 + 0.5}, Snooze, "rate_limited"),
        (429, "Too Many Requests: retry after 7", {"retry_after": "7"}, Snooze, "rate_limited"),
        (403, "Forbidden: bot was blocked by the user", {}, PermanentRefusal, "recipient_refuses"),
        (403, "Forbidden: user is deactivated", {}, PermanentRefusal, "recipient_unreachable"),
        (403, "Forbidden: bot can't initiate conversation with a user", {}, PermanentRefusal, "recipient_refuses"),
        (400, "Bad Request: PRIVACY_PREMIUM_REQUIRED", {}, PermanentRefusal, "recipient_refuses"),
        (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_5", {}, PermanentRefusal, "recipient_refuses"),
        (400, "Logged out", {}, Snooze, "token_invalid"),
        (420, "FLOOD_WAIT_7", {"retry_after": 7}, Snooze, "rate_limited"),
        (400, "Bad Request: have no rights to send a message", {}, PermanentRefusal, "recipient_refuses"),
        (400, "Bad Request: chat not found", {}, PermanentRefusal, "recipient_unreachable"),
        (400, "Bad Request: group chat was upgraded", {"migrate_to_chat_id": -1}, PermanentRefusal, "recipient_unreachable"),
        (400, "Bad Request: message is too long", {}, PermanentRefusal, "request_refused"),
        (401, "Unauthorized", {}, Snooze, "token_invalid"),
        (404, "Not Found", {}, Snooze, "token_invalid"),
        (502, "Bad Gateway", {}, OutcomeUnknown, "provider_failed"),
        *((status, "Later", {}, ProviderFailed, "provider_failed") for status in (408, 409, 421, 423, 424, 425, 449)),
        (418, "?", {}, PermanentRefusal, "unknown_code"),
    ],
)
def test_what_telegram_refuses(status: int, description: str, parameters: Any, raised: type[Exception], code: str) -> None:
    body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    problem = classify_error(Response(status, json.dumps(body).encode(), {}))
    assert isinstance(problem, raised)
    assert getattr(problem, "error_code", getattr(problem, "reason", None)) == code
    assert getattr(problem, "delay", 7) == 7 or code == "token_invalid"
    assert description not in str(problem)


@pytest.mark.parametrize(
    ("words", "is_gone"),
    [
        *((words, True) for words in ("message thread not found", "invalid topic identifier specified", "TOPIC_DELETED")),
        *((words, True) for words in ("TOPIC_CLOSED", "TOPIC_ID_INVALID")),
        *((words, False) for words in ("chat not found", "message is too long")),
    ],
)
def test_a_topic_that_takes_nothing_is_known_by_what_telegram_says(words: str, is_gone: bool) -> None:
    body = {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}
    assert is_topic_gone(Response(400, json.dumps(body).encode(), {})) is is_gone
    assert not is_topic_gone(Response(403, json.dumps(body).encode(), {}))


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("page", [b"", b"<html><h1>403 Forbidden</h1></html>", b'{"error": "blocked by policy"}', b"[]"])
def test_a_proxys_page_is_no_word_of_the_customers(status: int, page: bytes) -> None:
    problem = classify_error(Response(status, page, {}))
    assert (type(problem), getattr(problem, "error_code", None)) == (ProviderFailed, "provider_failed")


@pytest.mark.parametrize(
    ("pause", "seconds"), [(10**400, 5), (10**17, 2_592_000), (-3, 1), (0, 1), (True, 5), (None, 5), ([7], 5)]
)
def test_a_pause_of_telegram_is_bounded_and_of_any_type(pause: Any, seconds: float) -> None:
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": pause}}
    problem = classify_error(Response(429, json.dumps(body).encode(), {}))
    assert isinstance(problem, Snooze)
    assert problem.delay == seconds


def test_choices_are_buttons_if_telegram_takes_their_ids() -> None:
    short, long = Choice("y", "Yes"), Choice("é" * 33, "No")
    assert send.text_with("Sure?", [short]) == "Sure?"
    assert send.text_with("Sure?", [short, long]) == "Sure?\n\n1. Yes\n2. No"
