"""What QR gateways' messages become, by kind: wrapped in anything, in the shapes of every engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.channels.inbound import (
    DeliveryStatus,
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    MalformedItem,
)
from shared.channels.kinds import Author, Kind, MediaKind
from shared.channels.whatsapp_qr import evolution, waha
from shared.channels.whatsapp_qr.unwrap import MAX_WRAPPERS, unwrap
from tests.unit.texts import BLANK, SEEN

PHONE, LID, TIME = "4915112345", "77001@lid", 1790000000


def evolution_item(message: Any, event: str = "messages.upsert", key: dict[str, Any] | None = None, **more: Any) -> InboundItem:
    """The one item of an event of Evolution."""
    key = {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": False, "id": "3AM", **(key or {})}
    data = {"key": key, "pushName": "Ana", "message": message, "messageTimestamp": TIME, **more}
    [item] = evolution.parse({"event": event, "instance": "t42", "data": data})
    return item


def waha_item(event: str = "message", **payload: Any) -> InboundItem:
    """The one item of an event of WAHA."""
    message = {
        "id": f"false_{PHONE}@c.us_3AM",
        "timestamp": TIME,
        "from": f"{PHONE}@c.us",
        "fromMe": False,
        "source": "app",
        "to": "15550001111@c.us",
        "body": None,
        "hasMedia": False,
        "ack": 1,
        "vCards": [],
    }
    [item] = waha.parse({"event": event, "session": "t42", "payload": message | payload, "timestamp": TIME * 1000})
    return item


def noweb_item(message: Any) -> InboundItem:
    """The same message as WAHA's engine NOWEB passes it on."""
    return waha_item(_data={"key": {"id": "3AM"}, "message": message, "pushName": "Ana"})


def gows_item(message: Any) -> InboundItem:
    """The same as GOWS does."""
    return waha_item(_data={"Info": {"ID": "3AM", "PushName": "Ana"}, "Message": message})


ENGINES = pytest.mark.parametrize("item_of", [evolution_item, noweb_item, gows_item], ids=["evolution", "noweb", "gows"])


def shown(item: InboundItem) -> tuple[Any, ...]:
    """What the tables below compare."""
    assert isinstance(item, InboundMessage)
    return item.kind, item.content, item.data


# -------------------------------------------------------------------------------------------------------------- wrappers

WRAPPERS = (
    "ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension", "deviceSentMessage",
    "botInvokeMessage", "groupMentionedMessage", "associatedChildMessage", "documentWithCaptionMessage", "lottieStickerMessage",
    "groupStatusMessage", "questionMessage", "somethingOfNextYearMessage",
)  # fmt: skip
CONTENTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"conversation": "from my tablet"}, "from my tablet"),
    ({"extendedTextMessage": {"text": "see", "contextInfo": {"expiration": 86400}}}, "see"),
    ({"extendedTextMessage": {"text": "", "matchedText": "https://shop.example/p/7"}}, "https://shop.example/p/7"),
    ({"buttonsResponseMessage": {"selectedButtonId": "1", "selectedDisplayText": "Yes"}}, "Yes"),
    ({"imageMessage": {"mimetype": "image/jpeg", "caption": "in red?"}}, "in red?"),
    ({"audioMessage": {"seconds": 3, "ptt": True}}, "[audio]"),
    (
        {"productMessage": {"product": {"productId": "1", "title": "Chair"}, "body": "still available?"}},
        "still available?\n🏷 Chair (1)",
    ),
)
beside = st.sampled_from([{}, {"destinationJid": "1"}, {"contextInfo": {"message": {"conversation": "no"}}}])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(WRAPPERS), beside), max_size=MAX_WRAPPERS), st.sampled_from(CONTENTS), st.booleans())
def test_a_message_is_read_within_any_wrappers(
    wrappers: list[tuple[str, dict[str, Any]]], content: tuple[dict[str, Any], str], with_context: bool
) -> None:
    message, expected = content
    for name, more in wrappers:
        context = {"messageContextInfo": {"messageSecret": "x"}} if with_context else {}
        message = {**context, name: {**more, "message": message}}
    for item_of in (evolution_item, noweb_item, gows_item):
        item = item_of(message)
        assert isinstance(item, InboundMessage)
        assert item.content == expected


def test_wrappers_without_an_end_end() -> None:
    message: dict[str, Any] = {"conversation": "deep"}
    for _ in range(500):
        message = {"ephemeralMessage": {"message": message}}
    assert len(unwrap(message).wrappers) == MAX_WRAPPERS
    assert isinstance(evolution_item(message), InboundMessage | IgnoredItem)


NAMES = st.sampled_from([
    "message", "conversation", "extendedTextMessage", "protocolMessage", "editedMessage", "reactionMessage", "key", "id", "text",
    "listResponseMessage", "interactiveResponseMessage", "nativeFlowResponseMessage", "paramsJson", "locationMessage", "type",
    "contactsArrayMessage", "contacts", "orderMessage", "pollUpdateMessage", "vote", "selectedOptions", "imageMessage",
    "contextInfo", "albumMessage", "messageContextInfo", "update", "reaction", "poll", "before", "location",
    "vCards", "media", "listResponse",
])  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, json_values, max_size=5))
def test_no_shape_breaks_a_parser(value: dict[str, Any]) -> None:
    for event in ("messages.upsert", "messages.update", "messages.edited", "messages.delete"):
        items = [evolution_item(value, event), *evolution.parse({"event": event, "data": value})]
        assert not [item for item in items if isinstance(item, MalformedItem) and "parser" in item.reason]
    for event in ("message", "message.any", "message.edited", "message.revoked", "message.reaction", "poll.vote"):
        items = [waha_item(event, **value), waha_item(event, _data=value), waha_item(event, _data={"message": value})]
        assert not [item for item in items if isinstance(item, MalformedItem) and "parser" in item.reason]


# ----------------------------------------------------------------------------------------------------------------- kinds


@ENGINES
@pytest.mark.parametrize(
    ("message", "words", "data"),
    [
        (
            {"buttonsResponseMessage": {"selectedButtonId": "b1", "selectedDisplayText": "Yes please"}},
            "Yes please",
            {"id": "b1", "title": "Yes please"},
        ),
        (
            {"buttonsResponseMessage": {"selectedButtonID": "b1", "Response": {"SelectedDisplayText": "Yes please"}}},
            "Yes please",
            {"id": "b1", "title": "Yes please"},
        ),
        (
            {"templateButtonReplyMessage": {"selectedId": "t1", "selectedDisplayText": "Stop", "selectedIndex": 1}},
            "Stop",
            {"id": "t1", "title": "Stop"},
        ),
        (
            {"listResponseMessage": {"title": "Fri", "description": "10 o'clock", "singleSelectReply": {"selectedRowId": "r1"}}},
            "Fri (10 o'clock)",
            {"id": "r1", "title": "Fri", "description": "10 o'clock"},
        ),
        (
            {"listResponseMessage": {"title": "Fri", "singleSelectReply": {"selectedRowID": "r1"}}},
            "Fri",
            {"id": "r1", "title": "Fri"},
        ),
        (
            {
                "interactiveResponseMessage": {
                    "body": {"text": "Yes, book it"},
                    "nativeFlowResponseMessage": {"name": "quick_reply", "paramsJson": '{"id":"yes"}'},
                }
            },
            "Yes, book it",
            {"id": "yes", "title": "Yes, book it"},
        ),
        (
            {
                "interactiveResponseMessage": {
                    "nativeFlowResponseMessage": {"paramsJson": '{"id":"r","title":"T","description":"D"}'}
                }
            },
            "T (D)",
            {"id": "r", "title": "T", "description": "D"},
        ),
        ({"interactiveResponseMessage": {"body": {"text": "OK"}}}, "OK", {"title": "OK"}),
    ],
)
def test_buttons_and_lists(item_of: Callable[[Any], InboundItem], message: Any, words: str, data: dict[str, Any]) -> None:
    assert shown(item_of(message)) == (Kind.CHOICE, words, {"choice": data})


@ENGINES
@pytest.mark.parametrize(
    "params", ['{"name":"Ana","flow_token":"t"}', '{"response_json":"{\\"name\\":\\"Ana\\",\\"flow_token\\":\\"t\\"}"}']
)
def test_forms(item_of: Callable[[Any], InboundItem], params: str) -> None:
    flow = {"body": {"text": "Sent"}, "nativeFlowResponseMessage": {"name": "flow", "paramsJson": params}}
    assert shown(item_of({"interactiveResponseMessage": flow})) == (
        Kind.FORM,
        "name: Ana",
        {"form": {"name": "flow", "answers": {"name": "Ana", "flow_token": "t"}}},
    )


def test_a_form_holds_only_what_can_be_stored() -> None:
    deep = "[" * 40 + "1" + "]" * 40
    params = f'{{"na\\u0000me": "A\\ud800\\u0000", "much": 1e999, "none": NaN, "deep": {deep}}}'
    item = evolution_item({"interactiveResponseMessage": {"nativeFlowResponseMessage": {"name": "flow", "paramsJson": params}}})
    assert isinstance(item, InboundMessage)
    stored = json.dumps(item.data, allow_nan=False)
    assert "A?\\ufffd" in stored
    assert "\\u0000" not in stored


@pytest.mark.parametrize("degrees", ["NaN", "-inf", "1e999", "north"])
def test_a_place_has_only_degrees_that_are_numbers(degrees: str) -> None:
    item = evolution_item({"locationMessage": {"degreesLatitude": degrees, "degreesLongitude": "13.4", "name": "Shop"}})
    assert shown(item) == (Kind.LOCATION, "📍 Shop", {"location": {"longitude": 13.4, "name": "Shop"}})


VCARD = (
    "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bo Li\r\nitem1.TEL;type=CELL;waid=4930001:+49 30\r\n  1\r\nEMAIL:bo@x.example\r\nEND:VCARD"
)
CARD_WORDS = "👤 Bo Li, +49 30 1, bo@x.example"
CARD = {"name": "Bo Li", "phones": ["+49 30 1"], "emails": ["bo@x.example"]}


@ENGINES
@pytest.mark.parametrize(
    ("message", "kind", "data"),
    [
        (
            {"locationMessage": {"degreesLatitude": 52.5, "degreesLongitude": 13.4, "name": "Shop", "address": "Main St 1"}},
            Kind.LOCATION,
            {"location": {"latitude": 52.5, "longitude": 13.4, "name": "Shop", "address": "Main St 1"}},
        ),
        (
            {"liveLocationMessage": {"degreesLatitude": 0, "degreesLongitude": 13.4, "JPEGThumbnail": "/9j/"}},
            Kind.LOCATION,
            {"location": {"latitude": 0.0, "longitude": 13.4}},
        ),
        ({"contactMessage": {"displayName": "Bo Li", "vcard": VCARD}}, Kind.CONTACT, {"contacts": [CARD]}),
        (
            {"contactsArrayMessage": {"contacts": [{"vcard": VCARD}, {"displayName": "Cy"}]}},
            Kind.CONTACT,
            {"contacts": [CARD, {"name": "Cy"}]},
        ),
        (
            {
                "orderMessage": {
                    "orderId": "7",
                    "message": "gift-wrap",
                    "itemCount": 2,
                    "totalAmount1000": {"low": 60000, "high": 0},
                }
            },
            Kind.ORDER,
            {"order": {"note": "gift-wrap", "id": "7", "items": [{"quantity": 2}], "total": 60.0}},
        ),
        (
            {
                "productMessage": {
                    "product": {"productId": "1", "title": "Chair", "priceAmount1000": "50000"},
                    "body": "in stock?",
                }
            },
            Kind.TEXT,
            {"product": {"id": "1", "title": "Chair", "price": 50.0}},
        ),
        (
            {"pollCreationMessageV3": {"name": "When?", "options": [{"optionName": "Fri"}, {"optionName": "Sat"}]}},
            Kind.POLL,
            {"poll": {"question": "When?", "options": ["Fri", "Sat"]}},
        ),
        ({"pollUpdateMessage": {"vote": {"selectedOptions": ["Fri"]}}}, Kind.POLL, {"vote": {"options": ["Fri"]}}),
        (
            {"extendedTextMessage": {"text": "this one", "contextInfo": {"stanzaId": "3AQ"}}},
            Kind.TEXT,
            {"quoted": {"id": "3AQ"}},
        ),
        (
            {"extendedTextMessage": {"text": "hi", "contextInfo": {"externalAdReply": {"title": "Sale", "sourceId": "12"}}}},
            Kind.TEXT,
            {"referral": {"source_id": "12", "headline": "Sale"}},
        ),
        (
            {"extendedTextMessage": {"text": "hi", "contextInfo": {"externalAdReply": {"title": "Sale", "sourceType": "ad"}}}},
            Kind.TEXT,
            {"referral": {"source_type": "ad", "headline": "Sale"}},
        ),
        (
            {"extendedTextMessage": {"text": "hi", "contextInfo": {"externalAdReply": {"title": "A link's preview"}}}},
            Kind.TEXT,
            {},
        ),
    ],
)
def test_what_is_more_than_words(
    item_of: Callable[[Any], InboundItem], message: dict[str, Any], kind: Kind, data: dict[str, Any]
) -> None:
    found_kind, _, found_data = shown(item_of(message))
    assert (found_kind, found_data) == (kind, data)


AD = {"externalAdReply": {"title": "Blue chair", "sourceType": "ad", "sourceId": "12", "ctwaClid": "A"}}


@pytest.mark.parametrize(
    "item",
    [
        noweb_item({"extendedTextMessage": {"contextInfo": AD}}),
        waha_item(_data={"Info": {"ID": "3AM"}, "Message": {"extendedTextMessage": {"text": "", "contextInfo": AD}}}),
        evolution_item({"extendedTextMessage": {"contextInfo": AD}}),
        evolution_item({"conversation": "", "messageContextInfo": {"messageSecret": "c2VjcmV0"}}, contextInfo=AD),
        evolution_item({}, contextInfo=AD),
    ],
)
def test_who_presses_an_ad_and_writes_nothing_is_answered(item: InboundItem) -> None:
    kind, words, data = shown(item)
    assert (kind, words) == (Kind.TEXT, "(comes from the ad: Blue chair)")
    assert data == {"referral": {"source_type": "ad", "source_id": "12", "headline": "Blue chair", "ctwa_clid": "A"}}


def test_an_ad_without_a_word_that_the_business_sends_takes_nothing_over() -> None:
    assert isinstance(evolution_item({}, key={"fromMe": True}, contextInfo=AD), IgnoredItem)
    assert isinstance(evolution_item({"conversation": "Hello"}, key={"fromMe": True}, contextInfo=AD), InboundMessage)


@pytest.mark.parametrize("message", [None, {"senderKeyDistributionMessage": {}}, {"pollUpdateMessage": {}}])
def test_an_ad_beside_what_is_no_text_is_none(message: Any) -> None:
    assert isinstance(evolution_item(message, contextInfo={"stanzaId": "3AQ"}), IgnoredItem)
    assert isinstance(evolution_item({"pinInChatMessage": {"contextInfo": AD}}, contextInfo=AD), IgnoredItem)


@ENGINES
@pytest.mark.parametrize(
    ("payment", "kind", "words"),
    [
        ({"requestPaymentMessage": {"amount1000": "42500", "currencyCodeIso4217": "BRL"}}, Kind.TEXT, "💸 42.50 BRL"),
        ({"requestPaymentMessage": {}}, Kind.SYSTEM, "[payment]"),
        ({"sendPaymentMessage": {"requestMessageKey": {"id": "3AQ"}}}, Kind.SYSTEM, "[payment]"),
    ],
)
def test_a_payment_without_a_note(item_of: Callable[[Any], InboundItem], payment: Any, kind: Kind, words: str) -> None:
    assert shown(item_of(payment))[:2] == (kind, words)


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        ({"imageMessage": {"mimetype": "image/jpeg", "caption": "how much?"}}, MediaKind.IMAGE, "how much?"),
        ({"videoMessage": {"gifPlayback": True}}, MediaKind.VIDEO, "[video]"),
        ({"ptvMessage": {"seconds": 4}}, MediaKind.VIDEO, "[video]"),
        ({"audioMessage": {"ptt": True, "mimetype": "audio/ogg; codecs=opus"}}, MediaKind.VOICE, "[audio]"),
        ({"audioMessage": {"mimetype": "audio/mpeg"}}, MediaKind.AUDIO, "[audio]"),
        ({"stickerMessage": {"mimetype": "image/webp"}}, MediaKind.STICKER, "[sticker]"),
        ({"documentMessage": {"fileName": "a.pdf", "fileLength": "900"}}, MediaKind.DOCUMENT, "[document]"),
    ],
)
def test_files(message: dict[str, Any], kind: MediaKind, words: str) -> None:
    item = evolution_item(message)
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.content, [file.kind for file in item.media]) == (Kind.MEDIA, words, [kind])
    assert item.media[0].source["message"]["key"]["id"] == "3AM"


def test_a_file_in_the_webhook_is_told_and_not_copied() -> None:
    picture = {"imageMessage": {"caption": "how much?", "jpegThumbnail": "x" * 999}, "base64": "A" * 999}
    item = evolution_item(picture)
    assert isinstance(item, InboundMessage)
    assert item.content == "how much?"
    assert item.media[0].source == {
        "base64": True,
        "message": {"key": {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": False, "id": "3AM"}}
        | {"message": {"imageMessage": {"caption": "how much?"}}},
    }
    item = waha_item(hasMedia=True, body="how much?", media={"mimetype": "image/jpeg", "data": "A" * 999})
    assert isinstance(item, InboundMessage)
    assert (item.content, item.media[0].source, item.media[0].kind) == ("how much?", {"base64": True}, MediaKind.IMAGE)


@pytest.mark.parametrize(
    ("media", "data", "kind"),
    [
        ({"mimetype": "audio/ogg; codecs=opus", "url": "http://waha:3000/a.oga"}, {}, MediaKind.VOICE),
        ({"mimetype": "audio/mpeg"}, {}, MediaKind.AUDIO),
        ({"mimetype": "application/pdf", "filename": "a.pdf"}, {"type": "document"}, MediaKind.DOCUMENT),
        ({"mimetype": "image/webp"}, {}, MediaKind.STICKER),
        ({"mimetype": "image/webp"}, {"type": "image"}, MediaKind.IMAGE),
        (None, {"type": "ptt"}, MediaKind.VOICE),
        ({"mimetype": "image/jpeg"}, {"message": {"imageMessage": {"mimetype": "image/jpeg"}}}, MediaKind.IMAGE),
        (None, {"message": {"viewOnceMessageV2Extension": {"message": {"audioMessage": {"ptt": True}}}}}, MediaKind.VOICE),
    ],
)
def test_files_of_waha(media: Any, data: dict[str, Any], kind: MediaKind) -> None:
    item = waha_item(hasMedia=True, media=media, _data=data)
    assert isinstance(item, InboundMessage)
    assert [file.kind for file in item.media] == [kind]
    assert item.media[0].source["url"] == (media or {}).get("url", "")
    assert "unsupported" in item.metadata


# ----------------------------------------------------------------------------------------------- what WEBJS says its own way

THUMBNAIL = "/9j/4AAQSkZJRgABAQAAAQABAAD/" * 20


@pytest.mark.parametrize(
    ("payload", "kind", "data"),
    [
        (
            {"location": {"latitude": "52.5", "longitude": "13.4", "description": "Shop"}, "_data": {"type": "location"}},
            Kind.LOCATION,
            {"location": {"latitude": 52.5, "longitude": 13.4, "name": "Shop"}},
        ),
        (
            {"_data": {"type": "location", "lat": 52.5, "lng": 13.4, "loc": "Shop"}},
            Kind.LOCATION,
            {"location": {"latitude": 52.5, "longitude": 13.4, "name": "Shop"}},
        ),
        ({"location": {"latitude": 1, "longitude": 2}}, Kind.LOCATION, {"location": {"latitude": 1.0, "longitude": 2.0}}),
        ({"_data": {"type": "image"}}, Kind.MEDIA, {}),
        ({"_data": {"type": "product", "title": "Chair"}}, Kind.TEXT, {"product": {"title": "Chair"}}),
    ],
)
@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_a_picture_in_the_body_is_no_words(prefix: str, payload: dict[str, Any], kind: Kind, data: dict[str, Any]) -> None:
    item = waha_item(body=prefix + THUMBNAIL, **payload)
    found_kind, words, found_data = shown(item)
    assert (found_kind, found_data) == (kind, data)
    assert "/9j/" not in words


@pytest.mark.parametrize(
    ("payload", "kind", "words", "data"),
    [
        ({"body": "Yes", "_data": {"selectedButtonId": "1"}}, Kind.CHOICE, "Yes", {"choice": {"id": "1", "title": "Yes"}}),
        ({"body": "Yes", "selectedButtonId": "1"}, Kind.CHOICE, "Yes", {"choice": {"id": "1", "title": "Yes"}}),
        (
            {
                "body": "Fri",
                "_data": {"listResponse": {"title": "Fri", "description": "10", "singleSelectReply": {"selectedRowId": "r"}}},
            },
            Kind.CHOICE,
            "Fri (10)",
            {"choice": {"id": "r", "title": "Fri", "description": "10"}},
        ),
        ({"vCards": [VCARD], "body": VCARD}, Kind.CONTACT, CARD_WORDS, {"contacts": [CARD]}),
        ({"vCards": VCARD}, Kind.CONTACT, CARD_WORDS, {"contacts": [CARD]}),
        ({"body": VCARD, "_data": {"type": "vcard", "body": VCARD}}, Kind.CONTACT, CARD_WORDS, {"contacts": [CARD]}),
        (
            {"body": "", "_data": {"type": "order", "orderTitle": "Chair"}},
            Kind.ORDER,
            "🛒 1 × Chair",
            {"order": {"items": [{"name": "Chair"}]}},
        ),
        (
            {"body": "When?", "_data": {"type": "poll_creation", "pollName": "When?", "pollOptions": [{"name": "Fri"}]}},
            Kind.POLL,
            "📊 When?\n- Fri",
            {"poll": {"question": "When?", "options": ["Fri"]}},
        ),
        ({"body": "this", "replyTo": {"id": f"true_{PHONE}@c.us_3AQ"}}, Kind.TEXT, "this", {"quoted": {"id": "3AQ"}}),
        (
            {"body": "this", "replyTo": {"id": "3AQ", "body": "The red chair"}},
            Kind.TEXT,
            "this",
            {"quoted": {"id": "3AQ", "text": "The red chair"}},
        ),
        ({"body": "this", "replyTo": {"id": "3AQ", "body": "/9j/" + "A" * 300}}, Kind.TEXT, "this", {"quoted": {"id": "3AQ"}}),
        (
            {
                "_data": {
                    "type": "event_creation",
                    "eventName": "Party",
                    "eventStartTime": TIME,
                    "eventLocation": {"name": "Home"},
                }
            },
            Kind.TEXT,
            "📅 Party, 2026-09-21 14:13 UTC, Home",
            {"event": {"name": "Party", "start": "2026-09-21 14:13 UTC", "place": "Home"}},
        ),
        (
            {"vCards": None, "_data": {"type": "multi_vcard", "vcardList": [{"vcard": VCARD}, {"displayName": "Cy"}, None]}},
            Kind.CONTACT,
            f"{CARD_WORDS}\n👤 Cy",
            {"contacts": [CARD, {"name": "Cy"}]},
        ),
        (
            {"body": "hi", "_data": {"type": "chat", "ctwaContext": {"title": "Sale", "description": "50%", "ctwaClid": "A"}}},
            Kind.TEXT,
            "hi\n(comes from the ad: Sale: 50%)",
            {"referral": {"headline": "Sale", "body": "50%", "ctwa_clid": "A"}},
        ),
        (
            {"body": "yes", "_data": {"type": "chat", "ctwaContext": {"title": "Sale", "greetingMessageBody": "Hi! Shoes?"}}},
            Kind.TEXT,
            "yes\n(comes from the ad: Sale; greeted with: Hi! Shoes?)",
            {"referral": {"headline": "Sale", "greeting": "Hi! Shoes?"}},
        ),
        (
            {"body": "this", "_data": {"type": "chat", "quotedStanzaID": "3AQ", "quotedMsg": {"body": "Red or blue?"}}},
            Kind.TEXT,
            "this",
            {"quoted": {"id": "3AQ", "text": "Red or blue?"}},
        ),
        (
            {
                "body": "this",
                "replyTo": {"id": "3AQ", "body": None},
                "_data": {"type": "chat", "quotedMsg": {"caption": "The red chair", "body": THUMBNAIL}},
            },
            Kind.TEXT,
            "this",
            {"quoted": {"id": "3AQ", "text": "The red chair"}},
        ),
        (
            {
                "body": "Sent",
                "_data": {"type": "interactive_response", "nativeFlowResponse": {"name": "flow", "paramsJson": '{"size": "42"}'}},
            },
            Kind.FORM,
            "size: 42",
            {"form": {"name": "flow", "answers": {"size": "42"}}},
        ),
        (
            {"body": THUMBNAIL, "_data": {"type": "location", "lat": 1.5, "lng": 2.5, "isLive": True, "comment": "On my way"}},
            Kind.LOCATION,
            "On my way\n📍 1.5, 2.5",
            {"location": {"latitude": 1.5, "longitude": 2.5}},
        ),
        (
            {"body": "", "_data": {"type": "payment", "paymentNoteMsg": {"body": "For the shoes"}}},
            Kind.TEXT,
            "For the shoes",
            {},
        ),
        ({"body": "A" * 300, "_data": {"type": "chat"}}, Kind.TEXT, "A" * 300, {}),
        ({"body": "A" * 300}, Kind.TEXT, "A" * 300, {}),
    ],
)
def test_what_webjs_says(payload: dict[str, Any], kind: Kind, words: str, data: dict[str, Any]) -> None:
    assert shown(waha_item(**payload)) == (kind, words, data)


#: A vCard's lines, and what people and the model read of it.
CARDS = [
    (["N:Silva;Ana;Maria;;", "TEL:+49 30"], "👤 Ana Maria Silva, +49 30"),
    (["N:;Ana;Maria;;"], "👤 Ana Maria"),
    (["FN:Ana", "ORG:Acme;Sales", "TITLE:Head"], "👤 Ana, Acme, Sales, Head"),
    (["N:;;;;", "TEL:+49 30"], "👤 +49 30"),
    (["N;ENCODING=QUOTED-PRINTABLE:=00Li;B=C3=B6", "ADR:;;;;;;", "ORG:;"], "👤 Bö \ufffdLi"),
    (["FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Jo=C3=A3o"], "👤 João"),
    ([r"FN:Silva\, Ana", r"ORG:Acme\; Sons;Sales"], "👤 Silva, Ana, Acme; Sons, Sales"),
    (
        ["FN:Shop", "item1.ADR;type=HOME:;;Elm St 5;Bonn;;53111;", "URL:https://x.example"],
        "👤 Shop, Elm St 5, Bonn, 53111, https://x.example",
    ),
]


@pytest.mark.parametrize(("lines", "words"), CARDS)
def test_a_card_is_read_whole(lines: list[str], words: str) -> None:
    assert shown(evolution_item({"contactMessage": {"vcard": "\r\n".join(lines)}}))[:2] == (Kind.CONTACT, words)


@ENGINES
@pytest.mark.parametrize(
    ("quoted", "words"),
    [
        ({"conversation": "The red chair"}, "The red chair"),
        ({"viewOnceMessage": {"message": {"imageMessage": {"caption": "in red"}}}}, "in red"),
        ({"listResponseMessage": {"title": "Blue", "description": "50 EUR"}}, "Blue (50 EUR)"),
        ({"conversation": "x" * 2_000}, "x" * 1_000),
        ({"imageMessage": {}}, None),
        (None, None),
    ],
)
def test_the_words_of_a_quoted_message_come_with_it(
    item_of: Callable[[Any], InboundItem], quoted: Any, words: str | None
) -> None:
    told = {"id": "3AQ", **({"text": words} if words else {})}
    item = item_of({"extendedTextMessage": {"text": "this?", "contextInfo": {"stanzaId": "3AQ", "quotedMessage": quoted}}})
    assert shown(item) == (Kind.TEXT, "this?", {"quoted": told})


@ENGINES
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"startTime": str(TIME), "location": {"name": "Home"}}, "📅 Party, 2026-09-21 14:13 UTC, Home"),
        ({"startTime": {"low": TIME, "high": 0}, "isCanceled": True}, "📅 Party (canceled), 2026-09-21 14:13 UTC"),
        ({"startTime": "soon"}, "📅 Party"),
    ],
)
def test_an_event_tells_when_it_is(item_of: Callable[[Any], InboundItem], part: dict[str, Any], words: str) -> None:
    assert shown(item_of({"eventMessage": {"name": "Party", **part}}))[:2] == (Kind.TEXT, words)


@ENGINES
def test_a_pack_of_stickers_is_no_text(item_of: Callable[[Any], InboundItem]) -> None:
    item = item_of({"stickerPackMessage": {"name": "Cats", "publisher": "x"}})
    assert isinstance(item, InboundMessage)
    assert (item.content, item.metadata["unsupported"]) == ("[sticker]", "sticker")


@pytest.mark.parametrize(
    ("mime", "kind"),
    [("Audio/OGG; codecs=opus", MediaKind.VOICE), ("AUDIO/AMR", MediaKind.AUDIO), ("IMAGE/JPEG", MediaKind.IMAGE)],
)
def test_a_files_type_may_be_in_capitals(mime: str, kind: MediaKind) -> None:
    item = waha_item(hasMedia=True, media={"url": "http://waha/api/files/t42/x", "mimetype": mime})
    assert isinstance(item, InboundMessage)
    assert (item.media[0].kind, item.media[0].mime) == (kind, mime.lower())


@pytest.mark.parametrize(
    ("ack", "status"), [({"ack": "3"}, "READ"), ({"ackName": "DEVICE"}, "DELIVERED"), ({"ack": 1.0}, "SENT")]
)
def test_acks_in_other_forms(ack: dict[str, Any], status: str) -> None:
    [item] = waha.parse({"event": "message.ack", "payload": {"id": f"true_{PHONE}@c.us_X", "fromMe": True, **ack}})
    assert isinstance(item, DeliveryStatus)
    assert item.status == status


def test_a_vote_reaches_the_business() -> None:
    vote = {"id": "false_1@c.us_3AV", "from": f"{PHONE}@c.us", "fromMe": False, "selectedOptions": ["Yes"]}
    poll = {"id": f"true_{PHONE}@c.us_3AP", "fromMe": True}
    [item] = waha.parse({"event": "poll.vote", "payload": {"vote": vote, "poll": poll}})
    assert shown(item)[0::2] == (Kind.POLL, {"vote": {"options": ["Yes"]}, "quoted": {"id": "3AP"}})
    [item] = waha.parse({"event": "poll.vote", "payload": {"vote": {**vote, "selectedOptions": []}, "poll": {"id": "y"}}})
    assert isinstance(item, IgnoredItem)
    secret = {"pollUpdateMessage": {"pollCreationMessageKey": {"id": "3AP"}, "vote": {"encPayload": "x"}}}
    counted = evolution_item(secret, pollUpdates=[{"name": "Yes", "voters": ["4"]}])
    assert shown(counted)[0::2] == (Kind.POLL, {"vote": {"options": ["Yes"]}, "quoted": {"id": "3AP"}})


@pytest.mark.parametrize("shape", ["evolution", "baileys"])
@pytest.mark.parametrize(
    ("votes", "words"),
    [
        ([{"name": "Yes", "voters": [f"{PHONE}@s.whatsapp.net"]}, {"name": "No", "voters": []}], "📊 Yes"),
        ([{"name": "Yes", "voters": ["1@lid", "me"]}, {"name": "No", "voters": ["1@lid"]}], "📊 Yes, No"),
        ([{"name": "Yes", "voters": []}], None),
        ([{"name": "Yes", "voters": ["me"]}], None),
        ([{"pollUpdateMessageKey": {"id": "V"}, "vote": {"selectedOptions": ["aGFzaA=="]}}], None),
        ("odd", None),
    ],
)
def test_votes_that_are_counted_anew_replace_what_the_customer_chose_before(shape: str, votes: Any, words: str | None) -> None:
    chat, update = {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": True}, {"pollUpdates": votes}
    data = {**chat, "keyId": "3AP", **update} if shape == "evolution" else {"key": {**chat, "id": "3AP"}, "update": update}
    [item] = evolution.parse({"event": "messages.update", "data": data})
    if words is None:
        assert isinstance(item, IgnoredItem)
        return
    assert isinstance(item, InboundEdit)
    assert item.message
    assert (item.original_id, item.message.external_id) == ("vote:3AP", "vote:3AP")
    assert (item.message.content, item.message.kind, item.message.author) == (words, Kind.POLL, Author.CUSTOMER)
    assert item.message.data["quoted"] == {"id": "3AP"}


PIX = {"payment_settings": [{"type": "pix_static_code", "pix_static_code": {"merchant_name": "Ana", "key": "ana@x.example"}}]}


@ENGINES
@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"header": {"title": "Menu"}, "body": {"text": "Pick one"}, "nativeFlowMessage": {"buttons": []}}, "Menu\nPick one"),
        ({"nativeFlowMessage": {"buttons": [{"buttonParamsJson": json.dumps(PIX)}]}}, "Pix: ana@x.example, Ana"),
        (
            {"InteractiveMessage": {"NativeFlowMessage": {"buttons": [{"buttonParamsJSON": json.dumps(PIX)}]}}},  # whatsmeow
            "Pix: ana@x.example, Ana",
        ),
        ({"carouselMessage": {"cards": [{"body": {"text": "Sofa"}}, {"body": {"text": "Chair"}}]}}, "Sofa\nChair"),
        ({"nativeFlowMessage": {"buttons": [{"buttonParamsJson": "{no"}, None]}}, None),
        ({}, None),
    ],
)
def test_buttons_cards_and_keys_to_pay_to(item_of: Callable[[Any], InboundItem], message: Any, words: str | None) -> None:
    for wrapped in ({"interactiveMessage": message}, {"viewOnceMessage": {"message": {"interactiveMessage": message}}}):
        expected = (Kind.TEXT, words) if words else (Kind.SYSTEM, "[interactive]")
        assert shown(item_of(wrapped))[:2] == expected


@ENGINES
def test_what_an_ai_wrote_and_somebody_forwards(item_of: Callable[[Any], InboundItem]) -> None:
    said = [{"messageType": 2, "messageText": "A sofa"}, {"messageType": 3, "imageMetadata": {}}, {"messageText": "is soft"}]
    rich = {"richResponseMessage": {"messageType": 1, "submessages": said}}
    assert shown(item_of({"botForwardedMessage": {"message": rich}}))[:2] == (Kind.TEXT, "A sofa\nis soft")
    assert shown(item_of({"richResponseMessage": {"submessages": None}}))[:2] == (Kind.SYSTEM, "[richResponse]")


@pytest.mark.parametrize(
    ("answer", "words"), [("GOING", "📅 going"), ("NOT_GOING", "📅 not going"), ("MAYBE", "📅 maybe"), ("", None), (None, None)]
)
def test_an_answer_to_an_invitation_is_kept_for_the_next_message(answer: Any, words: str | None) -> None:
    event = {"id": f"true_{PHONE}@c.us_3AE", "fromMe": True}
    item = waha_item("event.response", eventCreationKey=event, eventResponse={"response": answer, "timestampMs": 1})
    if words is None:
        assert isinstance(item, IgnoredItem)
        return
    told = {"event": {"answer": words.removeprefix("📅 ")}, "quoted": {"id": "3AE"}}
    assert shown(item) == (Kind.POLL, words, told)


def test_what_a_colleague_votes_is_no_answer_to_anybody() -> None:
    cast = {"id": f"true_{PHONE}@c.us_3AV", "to": f"{PHONE}@c.us", "fromMe": True, "selectedOptions": ["Yes"]}
    [item] = waha.parse({"event": "poll.vote", "payload": {"vote": cast, "poll": {"id": "3AP"}}})
    assert isinstance(item, IgnoredItem)
    item = waha_item("event.response", fromMe=True, to=f"{PHONE}@c.us", eventResponse={"response": "GOING"})
    assert isinstance(item, IgnoredItem)
    vote = {"pollUpdateMessage": {"vote": {"selectedOptions": ["Yes"]}}}
    assert isinstance(evolution_item(vote, key={"fromMe": True}), IgnoredItem)
    asked = evolution_item({"pollCreationMessage": {"name": "When?"}}, key={"fromMe": True})
    assert isinstance(asked, InboundMessage)
    assert asked.author is Author.COLLEAGUE


@ENGINES
@pytest.mark.parametrize("name", ["viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"])
@pytest.mark.parametrize("inside", [{}, {"message": None}, {"message": {}}])
def test_what_may_be_seen_on_the_phone_only_is_still_a_message(
    item_of: Callable[[Any], InboundItem], name: str, inside: Any
) -> None:
    item = item_of({name: inside})
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.metadata["unsupported"]) == (Kind.MEDIA, "viewOnce")


VOICE = {"audioMessage": {"mimetype": "audio/ogg; codecs=opus", "ptt": True}}


@pytest.mark.parametrize(
    ("message", "words", "heard"),
    [
        (VOICE | {"speechToText": "[audio] When do you ship?"}, "When do you ship?", "When do you ship?"),
        (VOICE | {"speechToText": " When do you ship? ", "base64": "T2dnUw=="}, "When do you ship?", "When do you ship?"),
        (VOICE | {"speechToText": "[audio] undefined"}, "[audio]", None),
        (VOICE | {"speechToText": None}, "[audio]", None),
        (VOICE, "[audio]", None),
        ({"imageMessage": {"mimetype": "image/jpeg", "caption": "red?"}, "speechToText": "no"}, "red?", None),
    ],
)
def test_what_evolution_has_heard_itself_is_taken(message: dict[str, Any], words: str, heard: str | None) -> None:
    item = evolution_item(message)
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.content, item.media[0].text) == (Kind.MEDIA, words, heard)
    assert ("unsupported" in item.metadata) == (words == "[audio]")


# --------------------------------------------------------------------------------------------------------- what is silent

SILENT: tuple[dict[str, Any], ...] = (
    {"pinInChatMessage": {"key": {"id": "X"}, "type": 1}},
    {"keepInChatMessage": {"key": {"id": "X"}, "keepType": 1}},
    {"encReactionMessage": {"targetMessageKey": {"id": "X"}}},
    {"encCommentMessage": {"targetMessageKey": {"id": "X"}}},
    {"secretEncryptedMessage": {"targetMessageKey": {"id": "X"}}},
    {"placeholderMessage": {"type": 0}},
    {"requestPhoneNumberMessage": {}},
    {"interactiveResponseMessage": {"nativeFlowResponseMessage": {"name": "call_permission_request", "paramsJson": "{}"}}},
    {"callLogMesssage": {"isVideo": False}},
    {"scheduledCallCreationMessage": {"title": "Call"}},
    {"albumMessage": {"expectedImageCount": 2}},
    {"pollUpdateMessage": {"vote": {"encPayload": "x"}}},
    {"protocolMessage": {"type": 3, "ephemeralExpiration": 86400}},
    {"protocolMessage": {"type": "EPHEMERAL_SETTING", "key": {"id": "X"}}},
    {"senderKeyDistributionMessage": {"groupId": "1"}},
    {"stickerSyncRmrMessage": {}},
    {"statusStickerInteractionMessage": {"key": {"id": "X"}, "stickerKey": "s"}},
    {"conditionalRevealMessage": {"encPayload": "x"}},
    {"pollAddOptionMessage": {"addOption": {"optionName": "Green"}}},
    *(
        {"associatedChildMessage": {"message": {**part, "messageContextInfo": {"messageAssociation": {"associationType": kind}}}}}
        for part in (
            {"imageMessage": {"mimetype": "image/jpeg"}},
            {"videoMessage": {"mimetype": "video/mp4", "caption": "in red?"}},
        )
        for kind in (5, "HD_VIDEO_DUAL_UPLOAD", 10, "HD_IMAGE_DUAL_UPLOAD", "MOTION_PHOTO")
    ),
    {"imageMessage": {"mimetype": "image/jpeg", "contextInfo": {"pairedMediaType": "HD_IMAGE_CHILD"}}},
    *(
        {name: inside}
        for name in (
            "eventCoverImage",
            "pollCreationOptionImageMessage",
            "limitSharingMessage",
            "statusMentionMessage",
            "groupStatusMentionMessage",
        )
        for inside in (
            {},
            {"message": {"imageMessage": {"mimetype": "image/jpeg", "caption": "x"}}},
            {"message": {"protocolMessage": {"key": {"id": "X"}, "type": "LIMIT_SHARING"}}},
        )
    ),
    *(
        {"imageMessage": {"mimetype": "image/jpeg"}, "messageContextInfo": {"messageAssociation": {"associationType": kind}}}
        for kind in (3, "EVENT_COVER_IMAGE", 7, "MEDIA_POLL")
    ),
    {"messageContextInfo": {"messageSecret": "x"}},
    *({"conversation": blank} for blank in BLANK),
    {"extendedTextMessage": {"text": "\u2060"}},
    {},
)


@ENGINES
@pytest.mark.parametrize("message", SILENT, ids=lambda message: next(iter(message), "nothing"))
@pytest.mark.parametrize("wrapper", [None, "ephemeralMessage"])
def test_nobody_waits_for_an_answer(item_of: Callable[[Any], InboundItem], message: Any, wrapper: str | None) -> None:
    assert isinstance(item_of({wrapper: {"message": message}} if wrapper else message), IgnoredItem)


@ENGINES
@pytest.mark.parametrize("text", SEEN)
def test_a_text_of_which_something_is_seen_stays_as_it_is(item_of: Callable[[Any], InboundItem], text: str) -> None:
    assert shown(item_of({"conversation": text})) == (Kind.TEXT, text, {})


@pytest.mark.parametrize("blank", BLANK)
def test_a_text_of_the_page_of_which_nothing_is_seen_is_silent(blank: str) -> None:
    assert isinstance(waha_item(body=blank, _data={"type": "chat"}), IgnoredItem)


PAGE_NOTES = (
    "e2e_notification", "ciphertext", "revoked", "album", "call_log", "pinned_message", "protocol", "status_mention",
    "disappearing_mode_notification", "event_response", "enc_event_response", "poll_result_snapshot", "scheduled_call_edit",
    "group_status_mention", "message_history_notice", "bot_typing", "sender_key_distribution", "a_new_notification",
)  # fmt: skip


@pytest.mark.parametrize("kind", PAGE_NOTES)
def test_notes_of_the_page_are_silent(kind: str) -> None:
    assert isinstance(waha_item(body="x", _data={"type": kind}), IgnoredItem)


@pytest.mark.parametrize("event", ["message.waiting", "message.ack.group", "call.received", "presence.update", "engine.event"])
def test_other_events_are_silent(event: str) -> None:
    assert isinstance(waha_item(event, body="x"), IgnoredItem)


@pytest.mark.parametrize("chat", ["120363@g.us", "status@broadcast", "9@broadcast", "1@newsletter", "0@c.us", "1@bot"])
def test_only_persons_are_answered(chat: str) -> None:
    assert isinstance(waha_item(**{"from": chat, "id": f"false_{chat}_3AM", "body": "hi"}), IgnoredItem)
    jid = chat.replace("@c.us", "@s.whatsapp.net")
    assert isinstance(evolution_item({"conversation": "hi"}, key={"remoteJid": jid}), IgnoredItem)


@pytest.mark.parametrize("chat", ["120363@g.us", "status@broadcast", "1@newsletter"])
@pytest.mark.parametrize("from_me", [False, True])
def test_a_story_or_a_groups_message_is_nobodys_whoever_it_names(chat: str, from_me: bool) -> None:
    """Some engines tell who wrote it, and the chat in its id alone."""
    names = {"from": f"{PHONE}@c.us", "to": f"{PHONE}@c.us", "fromMe": from_me}
    decorated = f"{str(from_me).lower()}_{chat}_3AM_{PHONE}@c.us"
    for identity in (decorated, {"remote": chat, "id": "3AM", "_serialized": decorated}):
        assert isinstance(waha_item(**names, id=identity, body="hi"), IgnoredItem)


def test_a_kind_of_the_page_that_nobody_knows_is_kept_for_people() -> None:
    item = waha_item(_data={"type": "interactive_response"})
    assert isinstance(item, InboundMessage)
    assert (item.kind, item.content) == (Kind.SYSTEM, "[interactive_response]")
    assert isinstance(waha_item(_data={"type": "chat"}), IgnoredItem)


def test_what_evolution_says_beside_a_reply_that_it_made_a_plain_text() -> None:
    ad = {"title": "Blue chair", "sourceType": "ad", "sourceId": "12", "ctwaClid": "ARC"}
    reply = evolution_item({"conversation": "this one"}, contextInfo={"stanzaId": "3AQ", "externalAdReply": ad})
    assert shown(reply)[2]["quoted"] == {"id": "3AQ"}
    assert shown(reply)[2]["referral"]["ctwa_clid"] == "ARC"
    inner = {"extendedTextMessage": {"text": "this one", "contextInfo": {"stanzaId": "3AR"}}}
    assert shown(evolution_item(inner, contextInfo={"stanzaId": "3AQ"}))[2] == {"quoted": {"id": "3AR"}}


@ENGINES
def test_what_other_businesses_programs_send(item_of: Callable[[Any], InboundItem]) -> None:
    form = {"hydratedTemplate": {"hydratedContentText": "Your order has left"}}
    assert shown(item_of({"highlyStructuredMessage": {"hydratedHsm": form}}))[1] == "Your order has left"
    deeper = {"Format": {"HydratedFourRowTemplate": {"hydratedContentText": "Your order has left"}}}
    assert shown(item_of({"templateMessage": deeper}))[1] == "Your order has left"
    assert shown(item_of({"extendedTextMessage": {"text": "", "title": "Blue chair"}}))[1] == "Blue chair"
    assert shown(item_of({"listMessage": {"title": "Menu", "description": "Pick one"}}))[1] == "Menu\nPick one"


@ENGINES
def test_a_kind_that_nobody_knows_is_read_for_its_words(item_of: Callable[[Any], InboundItem]) -> None:
    assert shown(item_of({"novelMessage": {"body": {"text": "hello"}}}))[1] == "hello"
    item = item_of({"novelMessage": {"x": 1}})
    assert isinstance(item, InboundMessage)
    assert (item.content, item.metadata["unsupported"]) == ("[novel]", "novel")
    assert shown(item_of({"senderKeyDistributionMessage": {"groupId": "1"}, "conversation": "hello"}))[1] == "hello"


# -------------------------------------------------------------------------------------------- changes of earlier messages

EDIT = {"key": {"id": "X"}, "type": 14, "editedMessage": {"conversation": "size 42"}}


@ENGINES
@pytest.mark.parametrize(
    ("message", "original_id"),
    [
        ({"protocolMessage": EDIT}, "X"),
        ({"protocolMessage": {**EDIT, "type": "MESSAGE_EDIT"}}, "X"),
        ({"protocolMessage": {**EDIT, "editedMessage": {"ephemeralMessage": {"message": {"conversation": "size 42"}}}}}, "X"),
        ({"protocolMessage": {**EDIT, "editedMessage": {"message": {"extendedTextMessage": {"text": "size 42"}}}}}, "X"),
        ({"protocolMessage": {**EDIT, "editedMessage": {"imageMessage": {"caption": "size 42"}}}}, "X"),
        ({"editedMessage": {"message": {"protocolMessage": EDIT}}}, "X"),
        ({"ephemeralMessage": {"message": {"editedMessage": {"message": {"protocolMessage": EDIT}}}}}, "X"),
        ({"editedMessage": {"message": {"conversation": "size 42"}}}, "3AM"),
    ],
)
def test_edits(item_of: Callable[[Any], InboundItem], message: dict[str, Any], original_id: str) -> None:
    item = item_of(message)
    assert isinstance(item, InboundEdit)
    assert (item.original_id, item.content, item.sent_at) == (original_id, "size 42", TIME)


@ENGINES
@pytest.mark.parametrize("kind", [{"type": 0}, {"type": "REVOKE"}, {}])
def test_revokes(item_of: Callable[[Any], InboundItem], kind: dict[str, Any]) -> None:
    item = item_of({"protocolMessage": {"key": {"id": "X"}, **kind}})
    assert isinstance(item, InboundRevoke)
    assert item.original_id == "X"


@ENGINES
def test_reactions(item_of: Callable[[Any], InboundItem]) -> None:
    for more, emoji in (({"text": "👍"}, "👍"), ({"text": ""}, ""), ({}, "")):
        item = item_of({"reactionMessage": {"key": {"id": "X"}, **more}})
        assert isinstance(item, InboundReaction)
        assert (item.message_id, item.emoji) == ("X", emoji)


@pytest.mark.parametrize(
    "data",
    [
        {"keyId": "X", "message": {"editedMessage": {"message": {"conversation": "size 42"}}}},
        {"keyId": "X", "message": {"editedMessage": {"message": {"protocolMessage": EDIT}}}, "status": "SERVER_ACK"},
        {"key": {"id": "X"}, "update": {"message": {"editedMessage": {"message": {"conversation": "size 42"}}}}},
        {"key": {"id": "X"}, "update": {"message": {"conversation": "size 42"}}},
        {"key": {"id": "X"}, "message": {"conversation": "size 42"}, "event": "messages.edited"},
    ],
)
def test_edits_by_update(data: dict[str, Any]) -> None:
    [item] = evolution.parse({"event": data.pop("event", "messages.update"), "data": data})
    assert isinstance(item, InboundEdit)
    assert (item.original_id, item.content) == ("X", "size 42")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("messages.delete", {"key": {"id": "X", "fromMe": False}, "status": "DELETED"}),
        ("MESSAGES_DELETE", {"id": "X", "fromMe": False, "remoteJid": f"{PHONE}@s.whatsapp.net"}),
        ("messages.delete", {"keys": [{"id": "X"}]}),
        ("messages.update", {"key": {"id": "X"}, "update": {"message": None, "messageStubType": 1}}),
        ("messages.edited", {"key": {"id": "X"}, "type": "REVOKE"}),
        ("messages.edited", {"key": {"id": "X", "fromMe": True, "remoteJid": "15550001111@s.whatsapp.net"}, "type": 0}),
    ],
)
def test_revokes_by_event(event: str, data: dict[str, Any]) -> None:
    [item] = evolution.parse({"event": event, "data": data})
    assert isinstance(item, InboundRevoke)
    assert item.original_id == "X"


@pytest.mark.parametrize("more", [{"keyId": "X"}, {"key": {"id": "X"}}, {"id": "X"}])
@pytest.mark.parametrize("from_me", [True, False])
@pytest.mark.parametrize("status", ["DELETED", "EDITED", None])
def test_what_evolution_calls_deleted_is_only_an_update_without_a_status(more: Any, from_me: bool, status: Any) -> None:
    data = {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": from_me, "status": status, **more}
    [item] = evolution.parse({"event": "messages.update", "data": data})
    assert type(item) is IgnoredItem
    votes = [{"name": "Yes", "voters": [f"{PHONE}@s.whatsapp.net"]}]
    [item] = evolution.parse({"event": "messages.update", "data": {**data, "pollUpdates": votes}})
    assert isinstance(item, InboundEdit)
    assert item.content == "📊 Yes"


@pytest.mark.parametrize("kind", [14, "MESSAGE_EDIT"])
@pytest.mark.parametrize("content", [{"conversation": "size 42"}, {"extendedTextMessage": {"text": "size 42"}}])
def test_an_edit_that_evolution_reports_as_its_author_sees_it_is_the_customers(kind: Any, content: Any) -> None:
    key = {"remoteJid": "15550001111@s.whatsapp.net", "fromMe": True, "id": "X"}
    note = {"key": key, "type": kind, "editedMessage": content, "timestampMs": "1790000001000"}
    [item] = evolution.parse({"event": "messages.edited", "data": note})
    assert isinstance(item, InboundEdit)
    assert (item.original_id, item.content, item.message) == ("X", "size 42", None)


@pytest.mark.parametrize("kind", ["EPHEMERAL_SETTING", 3, "REQUEST_WELCOME_MESSAGE", "LIMIT_SHARING", 25, None])
def test_other_notes_of_messages_edited_are_silent(kind: Any) -> None:
    note = {"key": {"id": "X", "fromMe": True}, "type": kind} if kind else {"key": {"id": "X"}}
    [item] = evolution.parse({"event": "messages.edited", "data": note})
    assert type(item) is IgnoredItem


def test_a_status_of_evolution_1_has_its_id_by_itself() -> None:
    data = {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": True, "id": "3EB0", "status": "DELIVERY_ACK", "owner": "t42"}
    [item] = evolution.parse({"event": "messages.update", "data": data})
    assert isinstance(item, DeliveryStatus)
    assert (item.provider_id, item.status) == ("3EB0", "DELIVERED")


def test_evolution_edited_is_the_note_alone() -> None:
    [item] = evolution.parse({"event": "messages.edited", "data": {**EDIT, "timestampMs": "1"}})
    assert isinstance(item, InboundEdit)
    assert (item.original_id, item.content) == ("X", "size 42")


def test_an_update_with_a_message_may_be_a_status() -> None:
    [item] = evolution.parse(
        {"event": "messages.update", "data": {"keyId": "X", "fromMe": True, "status": "READ", "message": {"conversation": "x"}}}
    )
    assert isinstance(item, DeliveryStatus)
    [item] = evolution.parse(
        {"event": "messages.update", "data": [{"key": {"id": "X", "fromMe": True}, "update": {"status": 3}}]}
    )
    assert isinstance(item, DeliveryStatus)
    assert item.status == "DELIVERED"


@pytest.mark.parametrize(
    "more",
    [
        {"editedMessageId": "X"},
        {"editedMessageId": "false_1@lid_X"},
        {"id": f"false_{PHONE}@c.us_X"},
        {"_data": {"Message": {"editedMessage": {"message": {"protocolMessage": EDIT}}}}},
    ],
)
def test_waha_edited(more: dict[str, Any]) -> None:
    for text in ({"body": "size 42"}, {"_data": {"message": {"protocolMessage": EDIT}}}):
        item = waha_item("message.edited", **{**text, **more})
        assert isinstance(item, InboundEdit)
        assert (item.original_id, item.content) == ("X", "size 42")


@pytest.mark.parametrize(
    "payload",
    [
        {"revokedMessageId": "X", "before": {"id": "y"}, "after": {"id": "z"}},
        {"before": {"id": f"false_{PHONE}@c.us_X", "from": f"{PHONE}@c.us"}, "after": None},
        {"after": {"id": {"_serialized": f"false_{PHONE}@c.us_X"}}, "before": None},
        {"after": {"id": "z", "_data": {"Message": {"protocolMessage": {"type": 0, "key": {"ID": "X"}}}}}, "before": None},
    ],
)
def test_waha_revoked(payload: dict[str, Any]) -> None:
    [item] = waha.parse({"event": "message.revoked", "payload": payload})
    assert isinstance(item, InboundRevoke)
    assert item.original_id == "X"


def test_waha_reaction() -> None:
    identity = f"true_{PHONE}@c.us_X"
    page_item = waha_item("message.reaction", reaction={"text": "👍", "messageId": {"fromMe": True, "_serialized": identity}})
    assert isinstance(page_item, InboundReaction)
    assert page_item.message_id == "X"
    item = waha_item("message.reaction", reaction={"text": "👍", "messageId": identity})
    assert isinstance(item, InboundReaction)
    assert (item.message_id, item.emoji) == ("X", "👍")


# --------------------------------------------------------------------------------------------------- who, where and when


@pytest.mark.parametrize("chat", [f"{PHONE}@c.us", LID])
def test_one_id_whatever_decorates_it(chat: str) -> None:
    for decorated in (f"false_{chat}_3AM", f"false_{chat}_3AM_in", {"_serialized": f"false_{chat}_3AM", "id": "3AM"}, "3AM"):
        item = waha_item(**{"id": decorated, "from": chat, "body": "hi"})
        assert isinstance(item, InboundMessage)
        assert (item.external_id, item.external_user_id, item.sent_at) == ("3AM", chat, TIME)


@pytest.mark.parametrize(
    "data",
    [
        {"key": {"remoteJid": LID, "remoteJidAlt": f"{PHONE}@s.whatsapp.net"}},
        {"key": {"remoteJid": LID, "senderPn": f"{PHONE}:12@s.whatsapp.net", "senderLid": LID}},
        {"Info": {"Sender": "77001:3@lid", "SenderAlt": f"{PHONE}@s.whatsapp.net"}},
    ],
)
def test_waha_tells_another_name(data: dict[str, Any]) -> None:
    item = waha_item(**{"from": LID, "id": f"false_{LID}_3AM", "body": "hi", "_data": data})
    assert isinstance(item, InboundMessage)
    assert item.identities == (f"{PHONE}@c.us",)


def test_waha_tells_another_name_by_its_id() -> None:
    item = waha_item(**{"from": f"{PHONE}@c.us", "id": f"false_{LID}_3AM", "body": "hi"})
    assert isinstance(item, InboundMessage)
    assert item.identities == (LID,)


@pytest.mark.parametrize("name", ["remoteJidAlt", "senderPn", "participantPn", "previousRemoteJid"])
def test_evolution_tells_another_name(name: str) -> None:
    item = evolution_item(
        {"conversation": "hi"}, key={"remoteJid": LID, name: f"{PHONE}@s.whatsapp.net", "addressingMode": "lid"}
    )
    assert isinstance(item, InboundMessage)
    assert (item.external_user_id, item.identities) == (LID, (f"{PHONE}@s.whatsapp.net",))


@pytest.mark.parametrize("person", [PHONE, "77001"])
def test_somebody_whose_phone_is_in_metas_cloud_is_the_same_person(person: str) -> None:
    hosted, known = (f"{person}:99@hosted", "@s.whatsapp.net") if person == PHONE else (f"{person}:99@hosted.lid", "@lid")
    item = evolution_item({"conversation": "hi"}, key={"remoteJid": hosted})
    assert isinstance(item, InboundMessage)
    assert (item.external_user_id, item.identities) == (person + known, ())
    item = waha_item(body="hi", _data={"Info": {"Sender": hosted}})
    assert isinstance(item, InboundMessage)
    assert set(item.identities) <= {LID}


@pytest.mark.parametrize("time", [TIME, str(TIME), {"low": TIME, "high": 0, "unsigned": True}, TIME * 1000])
def test_a_time_in_every_form(time: Any) -> None:
    item = evolution_item({"conversation": "hi"}, messageTimestamp=time)
    assert isinstance(item, InboundMessage)
    assert item.sent_at == TIME


@pytest.mark.parametrize("time", [None, "soon", -1, 0, True, {}, [7]])
def test_a_time_that_is_none(time: Any) -> None:
    item = evolution_item({"conversation": "hi"}, messageTimestamp=time)
    assert isinstance(item, InboundMessage)
    assert item.sent_at is None


def test_what_is_sent_from_the_phone_is_a_colleagues() -> None:
    item = evolution_item(
        {"conversation": "I am on it"},
        key={"fromMe": True, "remoteJid": LID, "remoteJidAlt": "5@s.whatsapp.net", "senderPn": "9@lid"},
    )
    assert isinstance(item, InboundMessage)
    assert (item.author, item.external_user_id, item.identities) == (Author.COLLEAGUE, LID, ("5@s.whatsapp.net",))
    assert "profile_name" not in item.metadata
    to = {"fromMe": True, "from": "15550001111@c.us", "to": f"{PHONE}@c.us", "id": f"true_{PHONE}@c.us_3AM", "body": "I am on it"}
    item = waha_item("message.any", **to)
    assert isinstance(item, InboundMessage)
    assert (item.author, item.external_user_id) == (Author.COLLEAGUE, f"{PHONE}@c.us")
    assert isinstance(waha_item("message.any", **{**to, "source": "api"}), IgnoredItem)
    assert isinstance(evolution_item({"reactionMessage": {"key": {"id": "X"}, "text": "👍"}}, key={"fromMe": True}), IgnoredItem)


OURS = {"fromMe": True, "remoteJid": f"{PHONE}@s.whatsapp.net", "id": "X"}


@pytest.mark.parametrize(
    "item",
    [
        evolution_item({"protocolMessage": EDIT}, key={"fromMe": True}),
        evolution_item({"conversation": "size 42"}, "messages.update", OURS),
        waha_item("message.edited", fromMe=True, editedMessageId="X", body="size 42"),
        evolution_item({"protocolMessage": {"type": 0, "key": {"id": "X"}}}, key={"fromMe": True}),
        evolution_item(None, "messages.delete", OURS),
        evolution_item(None, "messages.update", OURS),
        waha_item("message.revoked", revokedMessageId="X", after={"fromMe": True, "id": f"true_{PHONE}@c.us_Y"}),
    ],
)
def test_what_is_changed_or_deleted_on_the_phone_is_the_colleagues(item: InboundItem) -> None:
    assert isinstance(item, InboundEdit | InboundRevoke)
    assert (item.original_id, item.author) == ("X", Author.COLLEAGUE)
    assert not isinstance(item, InboundEdit) or item.content == "size 42"


# ---------------------------------------------------------------------------------------------------------- many at once


def picture(identity: str, context: dict[str, Any] | None = None, chat: str = PHONE) -> dict[str, Any]:
    """One of several pictures."""
    message = {"imageMessage": {"mimetype": "image/jpeg"}, **({"messageContextInfo": context} if context is not None else {})}
    return {"key": {"remoteJid": f"{chat}@s.whatsapp.net", "fromMe": False, "id": identity}, "message": message}


def albums(data: Any) -> list[str | None]:
    """The album of each message of an event."""
    items = evolution.parse({"event": "messages.upsert", "data": data})
    return [item.data.get("album") for item in items if isinstance(item, InboundMessage)]


def test_pictures_of_an_album_share_its_id() -> None:
    header = {"key": picture("H")["key"], "message": {"albumMessage": {"expectedImageCount": 2}}}
    child = {"messageAssociation": {"associationType": 1}}
    named = {"messageAssociation": {"associationType": "MEDIA_ALBUM", "parentMessageKey": {"id": "P"}}}
    assert albums([header, picture("b", child), picture("c", {}), picture("d", {})]) == ["H", "H", None]
    assert albums([header, picture("x", chat="555"), picture("b")]) == [None, "H"]
    assert albums([header, picture("b", named)]) == ["P"]
    assert albums(picture("b", named)) == ["P"]
    wrapped = {**picture("b"), "message": {"associatedChildMessage": {"message": picture("b", named)["message"]}}}
    assert albums({"messages": [wrapped], "type": "notify"}) == ["P"]


def test_baileys_own_shape_is_taken() -> None:
    data = {"messages": [picture("a"), picture("b")], "type": "notify"}
    assert len(evolution.parse({"event": "messages.upsert", "data": data})) == 2
