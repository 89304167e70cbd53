"""The same thing in other JSON: programs between a provider and us make numbers of texts, texts of numbers and of flags, and take
lists away from what stands alone; and providers change where they put an id."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from shared.channels.inbound import DeliveryStatus, InboundEdit, InboundItem
from shared.channels.outcomes import Reason
from shared.channels.telegram import updates
from shared.channels.whatsapp_cloud import account_events, calls, webhook
from shared.channels.whatsapp_qr import evolution_events, waha_events

Change = tuple[str, Any]
#: Takes a member away.
GONE = object()


def changed(body: dict[str, Any], *changes: Change) -> dict[str, Any]:
    """The body with other values at paths such as "messages.0.id"."""
    other = deepcopy(body)
    for path, value in changes:
        *way, last = path.split(".")
        holder: Any = other
        for name in way:
            holder = holder[int(name) if isinstance(holder, list) else name]
        if value is GONE:
            del holder[last]
        else:
            holder[int(last) if isinstance(holder, list) else last] = value
    return other


def without_raw(items: list[InboundItem]) -> list[InboundItem]:
    bare = [replace(item, raw=None) for item in items]
    return [
        replace(item, message=replace(item.message, raw=None)) if isinstance(item, InboundEdit) and item.message else item
        for item in bare
    ]


# --------------------------------------------------------------------------------------------------------------- Cloud


def cloud(value: dict[str, Any]) -> list[InboundItem]:
    value = {"metadata": {"phone_number_id": "7"}, **value}
    batches = webhook.parse_body({"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
    return without_raw([item for batch in batches for item in batch.items])


def written(**content: Any) -> dict[str, Any]:
    return {"messages": [{"from": "4915112345", "id": "12", "timestamp": "1790000000", **content}]}


TEXT = written(type="text", text={"body": "123"})
BUTTON = written(type="interactive", interactive={"type": "button_reply", "button_reply": {"id": "7", "title": "Yes"}})
REPLY = written(type="button", button={"payload": "7", "text": "Yes"}, context={"id": "55"})
FORM = written(type="interactive", interactive={"type": "nfm_reply", "nfm_reply": {"name": "flow", "response_json": '{"a": 1}'}})
PICTURE = written(type="image", image={"id": "138", "mime_type": "image/jpeg", "file_size": 9})
VOICE = written(type="audio", audio={"id": "138", "mime_type": "audio/ogg", "voice": True})
ORDER = written(
    type="order",
    order={
        "catalog_id": "1",
        "product_items": [{"product_retailer_id": "77", "quantity": 2, "item_price": 30, "currency": "EUR"}],
    },
)
CARD = written(type="contacts", contacts=[{"name": {"formatted_name": "Bo"}, "phones": [{"phone": "4930"}]}])
PRODUCT = written(
    type="text", text={"body": "This?"}, context={"referred_product": {"catalog_id": "1", "product_retailer_id": "2"}}
)
NUMBER = written(type="system", system={"type": "user_changed_number", "wa_id": "4922"})
FAILED = {"statuses": [{"id": "12", "status": "failed", "errors": [{"code": 131047, "title": "Re-engagement"}]}]}


@pytest.mark.parametrize(
    ("plain", "changes"),
    [
        (TEXT, [("messages.0.type", "TEXT")]),
        (TEXT, [("messages.0.id", 12)]),
        (TEXT, [("messages.0.text.body", 123)]),
        (TEXT, [("messages.0.text", "123")]),
        (TEXT, [("messages.0.timestamp", {"low": 1_790_000_000, "high": 0})]),
        (TEXT, [("messages", TEXT["messages"][0])]),
        (
            TEXT,
            [("messages.0.type", "ephemeral"), ("messages.0.ephemeral", {"message": {"type": "text", "text": {"body": "123"}}})],
        ),
        (BUTTON, [("messages.0.interactive.type", "BUTTON_REPLY")]),
        (BUTTON, [("messages.0.interactive.button_reply.id", 7)]),
        (REPLY, [("messages.0.button.payload", 7), ("messages.0.context.id", 55)]),
        (FORM, [("messages.0.interactive.nfm_reply.response_json", {"a": 1})]),
        (FORM, [("messages.0.interactive.nfm_reply.response_json", json.dumps('{"a": 1}'))]),
        (PICTURE, [("messages.0.image.id", 138), ("messages.0.image.file_size", "9")]),
        (VOICE, [("messages.0.audio.voice", "true")]),
        (ORDER, [("messages.0.order.catalog_id", 1), ("messages.0.order.product_items.0.product_retailer_id", 77)]),
        (ORDER, [("messages.0.order.product_items", ORDER["messages"][0]["order"]["product_items"][0])]),
        (CARD, [("messages.0.contacts.0.phones.0.phone", 4930)]),
        (CARD, [("messages.0.contacts", CARD["messages"][0]["contacts"][0])]),
        (
            PRODUCT,
            [(f"messages.0.context.referred_product.{name}", n) for name, n in (("catalog_id", 1), ("product_retailer_id", 2))],
        ),
        (NUMBER, [("messages.0.system.wa_id", 4922), ("messages.0.from", 4_915_112_345), ("messages.0.type", "SYSTEM")]),
        (NUMBER, [("messages.0.system.type", "USER_CHANGED_NUMBER")]),
        (FAILED, [("statuses.0.errors.0.code", "131047"), ("statuses.0.id", 12), ("statuses.0.status", "FAILED")]),
        (FAILED, [("statuses.0.errors", {"code": 131047, "title": "Re-engagement"})]),
        (FAILED, [("statuses", FAILED["statuses"][0])]),
    ],
)
def test_cloud_says_the_same(plain: dict[str, Any], changes: list[Change]) -> None:
    assert cloud(changed(plain, *changes)) == cloud(plain) != []


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ([131000, 131047], Reason.WINDOW_CLOSED),
        ([999_999, 131026], Reason.RECIPIENT_UNREACHABLE),
        ([131026, 131047], Reason.RECIPIENT_UNREACHABLE),
        ([131000, 999_999], Reason.PROVIDER_FAILED),
        ([None, [], 131047], Reason.WINDOW_CLOSED),
    ],
)
def test_of_several_errors_the_one_counts_that_says_most(codes: list[Any], reason: Reason) -> None:
    [status] = cloud({"statuses": [{"id": "12", "status": "failed", "errors": [{"code": code} for code in codes]}]})
    assert isinstance(status, DeliveryStatus)
    assert status.error_code == reason


@pytest.mark.parametrize(
    ("name", "kind"), [("ptt", "voice"), ("video_note", "video"), ("animation", "video"), ("file", "document")]
)
def test_a_file_of_a_new_type_is_one_of_its_mime_type(name: str, kind: str) -> None:
    mime = {"voice": "audio/ogg", "video": "video/mp4", "document": "application/pdf"}[kind]
    [message] = cloud(written(**{"type": name, name: {"id": "138", "mime_type": mime}}))
    assert [(file.kind, file.source) for file in message.media] == [(kind, {"id": "138"})]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        *(
            ("account_update", {"event": "DISABLED_UPDATE", "ban_info": ban}, (state, reason))
            for ban, state, reason in (
                ([{"waba_ban_state": "DISABLE"}], "banned", Reason.ACCOUNT_BANNED),
                ({"waba_ban_state": ["SCHEDULE_FOR_DISABLE"]}, "degraded", Reason.ACCOUNT_ALERT),
                ([{"waba_ban_state": ["REINSTATE"]}], "ok", Reason.ACCOUNT_BANNED),
            )
        ),
        *(
            ("account_update", {"event": "DISABLED_UPDATE", "ban_info": ban}, None)
            for ban in ({"waba_ban_state": ["DISABLE", "REINSTATE"]}, {"waba_ban_state": [7]}, {"waba_ban_state": []}, [], [[]])
        ),
        ("account_alerts", {"alert_severity": "CRITICAL", "alert_status": "ACTIVE"}, ("degraded", Reason.ACCOUNT_ALERT)),
        ("account_alerts", {"entity_type": "WABA"}, None),
    ],
)
def test_a_ban_or_an_alert_is_told_in_whatever_form_it_comes(field: str, value: dict[str, Any], told: Any) -> None:
    found = account_events.events_in({"entry": [{"id": "102", "changes": [{"field": field, "value": value}]}]})
    assert [(event.state, event.reason) for event in found] == [told] * (told is not None)


def test_what_a_partner_does_names_the_business_account_within() -> None:
    removed = {"event": "PARTNER_REMOVED", "waba_info": {"waba_id": 980, "owner_business_id": "23"}}
    added = {"event": "PARTNER_ADDED", "waba_info": {"waba_id": "980"}}
    changes = [{"field": "account_update", "value": value} for value in (removed, added)]
    found = account_events.events_in({"entry": [{"id": "2949", "changes": changes}]})
    assert [(event.waba_id, event.state, event.reason) for event in found] == [
        ("980", "needs_login", Reason.PERMISSION_MISSING),
        ("980", "ok", Reason.PERMISSION_MISSING),
    ]


@pytest.mark.parametrize(
    "call",
    [
        {"direction": "USER_INITIATED", "from": "4915112345"},
        {"direction": "user_initiated", "from": 4_915_112_345},
        {"direction": "USER_INITIATED"},
        {"direction": "BUSINESS_INITIATED", "to": "4915112345", "status": "COMPLETED"},
        {"direction": "BUSINESS_INITIATED", "status": ["COMPLETED"]},
    ],
)
def test_who_called_is_told_by_the_call_or_by_its_contact(call: dict[str, Any]) -> None:
    contacts = [{"wa_id": "4915112345", "user_id": "DE.7"}]
    value = {"metadata": {"phone_number_id": 7}, "contacts": contacts, "calls": [{**call, "timestamp": "1790000000"}]}
    [opening] = calls.openings_in({"entry": [{"changes": [{"field": "calls", "value": value}]}]})
    assert opening == ("7", "4915112345", 1.79e9)


# ---------------------------------------------------------------------------------------------------------- QR gateways

PHONE = "4915112345"
WAHA: dict[str, Any] = {
    "event": "message.any",
    "timestamp": 1_790_000_000_000,
    "payload": {
        "id": f"false_{PHONE}@c.us_3EB0",
        "timestamp": 1_790_000_000,
        "from": f"{PHONE}@c.us",
        "to": "1555@c.us",
        "fromMe": False,
        "body": "123",
        "replyTo": {"id": "55"},
        "hasMedia": False,
        "media": None,
    },
}
_BARE = [("payload.id", {"fromMe": False, "remote": f"{PHONE}@c.us", "id": "3EB0"})]


def waha(body: dict[str, Any]) -> list[InboundItem]:
    return without_raw(waha_events.parse(body))


@pytest.mark.parametrize(
    "changes",
    [
        [("event", "MESSAGE.ANY")],
        [("payload.fromMe", "false")],
        [("payload.fromMe", 0)],
        [("payload.fromMe", GONE)],
        [("payload.timestamp", "1790000000")],
        [("payload.timestamp", {"low": "1790000000", "high": 0})],
        [("payload.timestamp", "2026-09-21T14:13:20Z")],
        [("payload.body", 123)],
        [("payload.replyTo", "55")],
        [("payload.hasMedia", "false")],
        [("payload.id", {"_serialized": f"false_{PHONE}@c.us_3EB0"})],
        _BARE,
        [*_BARE, ("payload.from", GONE)],
        [("payload.id", None), ("payload.key", {"id": "3EB0"})],
        [("payload.id", GONE), ("payload._data", {"key": {"id": "3EB0"}})],
        [("payload.id", GONE), ("payload._data", {"id": {"id": "3EB0"}})],
        [("payload.id", GONE), ("payload._data", {"Info": {"ID": "3EB0"}})],
        [("payload.from", {"_serialized": f"{PHONE}@c.us", "user": PHONE})],
    ],
)
def test_waha_says_the_same(changes: list[Change]) -> None:
    assert waha(changed(WAHA, *changes)) == waha(WAHA)


@pytest.mark.parametrize("more", [{"fromMe": "true"}, {"fromMe": 1}, {"fromMe": None, "id": "true_1@c.us_3EB0"}])
@pytest.mark.parametrize("source", ["api", "API"])
def test_our_own_send_is_nobodys_word(more: dict[str, Any], source: str) -> None:
    assert waha(changed(WAHA, *((f"payload.{name}", value) for name, value in {**more, "source": source}.items()))) == [
        waha_events.IgnoredItem()
    ]


@pytest.mark.parametrize("name", ["media", "mediaUrl"])
def test_a_file_is_one_whatever_its_flag_says(name: str) -> None:
    address = "http://waha:3000/api/files/t/3EB0.jpg"
    files = (
        {"media": {"url": address, "mimetype": "image/jpeg"}} if name == "media" else {"mediaUrl": address, "hasMedia": "true"}
    )
    [message] = waha(changed(WAHA, *((f"payload.{key}", value) for key, value in files.items())))
    assert [file.source for file in message.media] == [{"url": address}]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", ["WORKING", "working"])
def test_a_session_works_in_any_case(status: str) -> None:
    [state] = waha({"event": "session.status", "timestamp": "1790000000000", "payload": {"status": status}})
    assert state == waha_events.SessionState(connected=True, detail="WORKING", at=1.79e9)


def test_options_of_a_vote_may_be_objects() -> None:
    def vote(*options: Any) -> list[InboundItem]:
        cast = {"id": "3EB0", "from": f"{PHONE}@c.us", "fromMe": False, "selectedOptions": [*options]}
        return waha({"event": "poll.vote", "payload": {"vote": cast, "poll": {"id": "3EBP"}}})

    assert vote({"name": "Tea"}, {"optionName": "Cake"}) == vote("Tea", "Cake")


EVOLUTION: dict[str, Any] = {
    "event": "messages.upsert",
    "data": {
        "key": {"remoteJid": "77@lid", "senderPn": f"{PHONE}@s.whatsapp.net", "fromMe": False, "id": "12"},
        "message": {"buttonsResponseMessage": {"selectedButtonId": "7", "selectedDisplayText": "Yes"}},
        "messageTimestamp": 1_790_000_000,
    },
}


def evolution(body: dict[str, Any]) -> list[InboundItem]:
    return without_raw(evolution_events.parse(body))


@pytest.mark.parametrize(
    "changes",
    [
        [("event", "messages-upsert")],
        [("event", "MESSAGES_UPSERT")],
        [("data", {"messages": EVOLUTION["data"]})],
        [("data.key.fromMe", "false")],
        [("data.key.fromMe", 0)],
        [("data.key.id", 12)],
        [("data.key.senderPn", PHONE)],
        [("data.messageTimestamp", "1790000000000000")],
        [("data.messageTimestamp", {"low": "1790000000", "high": "0"})],
        [("data.messageTimestamp", "2026-09-21T14:13:20.000Z")],
        [("data.message.buttonsResponseMessage.selectedButtonId", 7)],
    ],
)
def test_evolution_says_the_same(changes: list[Change]) -> None:
    assert evolution(changed(EVOLUTION, *changes)) == evolution(EVOLUTION)


@pytest.mark.parametrize(
    ("status", "flags"),
    [("READ", {"fromMe": True}), ("read", {"fromMe": "true"}), (4, {}), ("4", {"fromMe": 1}), ({"low": 4, "high": 0}, {})],
)
def test_how_far_a_message_got_is_said_in_words_or_numbers(status: Any, flags: dict[str, Any]) -> None:
    found = evolution({"event": "messages.update", "data": {"keyId": 12, "status": status, **flags}})
    assert found == [DeliveryStatus(status="READ", provider_id="12")]


@pytest.mark.parametrize("flags", [{"fromMe": False}, {"fromMe": "false"}, {"fromMe": 0}, {"key": {"fromMe": "false"}}])
def test_how_far_the_customers_own_message_got_is_nothing(flags: dict[str, Any]) -> None:
    found = evolution({"event": "messages.update", "data": {"keyId": "12", "status": "READ", **flags}})
    assert found == [evolution_events.IgnoredItem()]


# ------------------------------------------------------------------------------------------------------------- Telegram

TELEGRAM: dict[str, Any] = {
    "update_id": 1,
    "message": {
        "message_id": 7,
        "from": {"id": 42, "first_name": "Ana"},
        "chat": {"id": 42, "type": "private"},
        "date": 1_790_000_000,
        "photo": [{"file_id": "small", "width": 9, "height": 9}, {"file_id": "large", "width": 99, "height": 9, "file_size": 8}],
        "contact": {"first_name": "Bo", "phone_number": "4930"},
        "reply_to_message": {"message_id": 3, "text": "Which?"},
    },
}


def telegram(body: dict[str, Any]) -> list[InboundItem]:
    return without_raw(updates.parse_body("9", body).items)


@pytest.mark.parametrize(
    "changes",
    [
        [("message.chat.id", "42"), ("message.message_id", "7")],
        [("message.date", "1790000000")],
        [("message.date", 1_790_000_000.0)],
        [("message.photo.0.width", "9"), ("message.photo.1.height", "9"), ("message.photo.1.file_size", "8")],
        [("message.contact.phone_number", 4930)],
        [("message.reply_to_message.message_id", "3")],
        [("message.live_photo", {"file_id": "video", "photo": TELEGRAM["message"]["photo"]})],
    ],
)
def test_telegram_says_the_same(changes: list[Change]) -> None:
    assert telegram(changed(TELEGRAM, *changes)) == telegram(TELEGRAM)


def test_a_buttons_query_may_have_a_number() -> None:
    query = {"id": 12, "from": {"id": 42}, "message": {"chat": {"id": "42", "type": "private"}, "message_id": 3}, "data": "c1"}
    assert telegram({"callback_query": query}) == telegram({"callback_query": {**query, "id": "12"}})
    assert updates.pressed_button({"callback_query": query}) == "12"


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([{"type": "paragraph", "text": "Do you ship?"}], "Do you ship?"),
        ([{"type": "heading", "text": ["My ", {"type": "bold", "text": ["or", "der"]}]}, {"type": "divider"}], "My order"),
        (
            [{"type": "paragraph", "text": [{"type": "url", "text": "here", "url": "https://x.example/"}]}],
            "here (https://x.example/)",
        ),
        ([{"type": "list", "items": [{"label": "1.", "blocks": [{"type": "paragraph", "text": one}]} for one in "ab"]}], "a\nb"),
        ([{"type": "table", "cells": [[{"text": "Size"}, {"text": "Price"}], [{"text": "M"}, {}]]}], "Size | Price\nM |"),
        ([{"type": "details", "summary": "More", "blocks": [{"type": "pre", "text": "x"}]}], "More\nx"),
        ([{"type": "blockquote", "blocks": [{"type": "paragraph", "text": "q"}], "credit": {"text": "Bo"}}], "q\nBo"),
        ([{"type": "mathematical_expression", "expression": "a^2"}], "a^2"),
        ([{"type": "new", "text": {"type": "new", "text": "words"}}], "words"),
    ],
)
def test_a_rich_message_is_its_words(blocks: list[Any], words: str) -> None:
    message = changed(
        TELEGRAM, *((f"message.{name}", GONE) for name in ("photo", "contact")), ("message.rich_message", {"blocks": blocks})
    )
    [item] = telegram(message)
    assert item.content == words  # type: ignore[attr-defined]


def test_the_files_of_a_rich_message_are_its_own() -> None:
    sizes = TELEGRAM["message"]["photo"]
    blocks = [
        {"type": "collage", "blocks": [{"type": "photo", "photo": sizes, "caption": {"text": "Blue"}}]},
        {"type": "voice_note", "voice_note": {"file_id": "heard", "mime_type": "audio/ogg"}},
    ]
    [item] = telegram(changed(TELEGRAM, ("message.photo", GONE), ("message.rich_message", {"blocks": blocks})))
    files = [(file.kind.value, file.source["file_id"]) for file in item.media]  # type: ignore[attr-defined]
    assert files == [("image", "large"), ("voice", "heard")]


def test_rich_messages_without_an_end_are_read_to_a_depth() -> None:
    text: Any = "deep"
    block: dict[str, Any] = {"type": "paragraph", "text": "deep"}
    for _ in range(100):
        text, block = {"type": "bold", "text": text}, {"type": "blockquote", "blocks": [block]}
    found = telegram(changed(TELEGRAM, ("message.photo", GONE), ("message.rich_message", {"blocks": [block, {"text": text}]})))
    assert len(found) == 1
