"""What is particular to engines of QR gateways: WPP and WEBJS, which pass on the page's own objects; reported failures.

Shapes: WAHA's WPP engine and its acks (2026), the page's message model, Baileys' error acks.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.channels.inbound import DeliveryStatus, IgnoredItem, InboundEdit, InboundItem, InboundMessage, InboundRevoke
from shared.channels.kinds import Kind
from shared.channels.outcomes import Reason
from shared.channels.whatsapp_qr import evolution, waha

PHONE = "4915112345"
CHAT = f"{PHONE}@c.us"
#: The beginning of a picture's base64, which the page keeps in `body` as a preview.
PREVIEW = "/9j/4AAQ" + "A" * 300


def page_item(data: dict[str, Any], **payload: Any) -> InboundItem:
    """A message as WPP has it: the page's object, and of WAHA's own members hardly any."""
    own = {"id": f"false_{CHAT}_3EB0A", "from": CHAT, "to": "5511@c.us", "fromMe": False, "source": "app"}
    nothing = {"location": None, "vCards": None, "media": None, "replyTo": None, "hasMedia": "mimetype" in data}
    return waha_item("message", {**own, **nothing, "body": data.get("caption", data.get("body")), **payload, "_data": data})


def waha_item(event: str, payload: dict[str, Any]) -> InboundItem:
    [item] = waha.parse({"event": event, "session": "t42", "payload": payload})
    return item


def message(item: InboundItem) -> InboundMessage:
    assert isinstance(item, InboundMessage)
    return item


def test_a_place_has_a_name_and_below_it_its_address() -> None:
    wanted = {"latitude": 1.5, "longitude": 2.5, "name": "Café", "address": "Rua A 1, Lisboa"}
    place = {"type": "location", "body": PREVIEW, "lat": 1.5, "lng": 2.5, "loc": "Café\nRua A 1\nLisboa"}
    assert message(page_item(place)).data == {"location": wanted}
    told = {"latitude": 1.5, "longitude": 2.5, "description": "Café\nRua A 1\nLisboa"}
    assert message(page_item({"type": "location", "body": PREVIEW}, location=told)).data == {"location": wanted}


def test_an_orders_total_and_a_products_price_are_told() -> None:
    order = {"type": "order", "body": PREVIEW, "orderId": "1", "orderTitle": "Shop", "itemCount": 2, "message": "As a gift"}
    item = message(page_item({**order, "totalAmount1000": 25_500, "totalCurrencyCode": "EUR"}))
    assert (item.kind, item.content) == (Kind.ORDER, "As a gift\n🛒 2 × Shop\n= 25.5 EUR")
    product = {"type": "product", "body": PREVIEW, "title": "Tea", "description": "Green", "productId": "77", "retailerId": "T1"}
    item = message(page_item({**product, "priceAmount1000": "4990", "currencyCode": "EUR", "url": "https://tea.example"}))
    assert item.content == "🏷 Tea (T1), 4.99 EUR, Green, https://tea.example"


@pytest.mark.parametrize(
    "kind",
    [
        *("reaction_enc", "event_edit_encrypted", "secret_encrypted", "pin_message", "poll_add_option_decrypted"),
        *("history_bundle", "debug_placeholder", "biz-cover-photo", "newsletter_follower_invite", "guest_upsell_system_msg"),
    ],
)
def test_notices_of_the_page_are_nobodys_message(kind: str) -> None:
    assert isinstance(page_item({"type": kind, "body": ""}), IgnoredItem)


@pytest.mark.parametrize("from_me", [True, False])
def test_the_greeting_that_whatsapp_shows_is_written_by_nobody(from_me: bool) -> None:
    greeting = page_item({"type": "automated_greeting_message", "body": "Welcome to the shop!"}, fromMe=from_me)
    assert isinstance(greeting, IgnoredItem)


@pytest.mark.parametrize(
    ("old_name", "url"),
    [
        ("https://mmg.whatsapp.net/d/f/Ab.enc", ""),
        ("https://MMG.whatsapp.net:443/d/f/Ab.enc", ""),
        ("http://waha:3000/api/files/t42/x.jpg", "http://waha:3000/api/files/t42/x.jpg"),
        ("https://files.example/whatsapp.net/x.jpg", "https://files.example/whatsapp.net/x.jpg"),
    ],
)
def test_a_file_that_waha_has_not_loaded_is_not_fetched_encrypted(old_name: str, url: str) -> None:
    item = message(page_item({"type": "image", "mimetype": "image/jpeg", "body": PREVIEW}, mediaUrl=old_name))
    assert [file.source for file in item.media] == [{"url": url}]


def test_a_deletion_that_names_keys_alone_is_of_its_chat() -> None:
    keys = {"fromMe": False, "remoteJid": f"{PHONE}@s.whatsapp.net"}
    body = {"revokedMessageId": "3EB0Q", "before": {**keys, "id": "3EB0Q"}, "after": {**keys, "id": "3EB0R"}}
    item = waha_item("message.revoked", body)
    assert isinstance(item, InboundRevoke)
    assert (item.original_id, item.external_user_id) == ("3EB0Q", CHAT)


def test_a_vote_with_its_polls_id_is_a_message_of_its_own_that_each_vote_replaces() -> None:
    identity = {"id": f"true_{CHAT}_3EB0P", "from": CHAT, "fromMe": False, "to": CHAT}
    for chosen in ("Yes", "No"):
        item = waha_item("poll.vote", {"poll": identity, "vote": {**identity, "selectedOptions": [chosen]}})
        assert isinstance(item, InboundEdit)
        assert (item.original_id, item.content) == ("vote:3EB0P", f"📊 {chosen}")
        assert item.message is not None
        assert item.message.data["quoted"] == {"id": "3EB0P"}


# --------------------------------------------------------------------------------------------------------------- failures

SAYS = "WhatsApp QR: the gateway reports an error"
RESTRICTED = {"code": "463", "blocked": True, "reason": "account_restricted", "until": "2026-12-26T23:45:00.000Z"}


@pytest.mark.parametrize(
    ("said", "error", "reason"),
    [
        (
            {"error": RESTRICTED},
            f"{SAYS}: code 463, account_restricted, until 2026-12-26T23:45:00.000Z",
            Reason.NEW_CHATS_REFUSED,
        ),
        ({"error": {"code": 463, "until": None}}, f"{SAYS}: code 463", Reason.NEW_CHATS_REFUSED),
        ({"error": {"code": "479", "blocked": False}}, f"{SAYS}: code 479", Reason.REPORTED_FAILURE),
        ({"reason": "recipient is not available"}, f"{SAYS}: recipient is not available", Reason.REPORTED_FAILURE),
        ({"error": "no route"}, f"{SAYS}: no route", Reason.REPORTED_FAILURE),
        ({"error": {"code": None, "blocked": False}}, SAYS, Reason.REPORTED_FAILURE),
        ({}, SAYS, Reason.REPORTED_FAILURE),
    ],
)
def test_a_waha_failure_keeps_what_it_says(said: dict[str, Any], error: str, reason: Reason) -> None:
    item = waha_item("message.ack", {"id": f"true_{CHAT}_3EB0A", "fromMe": True, "ack": -1, "ackName": "ERROR", **said})
    assert isinstance(item, DeliveryStatus)
    assert (item.status, item.error, item.error_code) == ("FAILED", error, reason)


@pytest.mark.parametrize(
    ("parameters", "error", "reason"),
    [
        (["463"], f"{SAYS}: code 463", Reason.NEW_CHATS_REFUSED),
        ([479, "SMAX_INVALID"], f"{SAYS}: code 479, SMAX_INVALID", Reason.REPORTED_FAILURE),
        ([], SAYS, Reason.REPORTED_FAILURE),
        ("463", SAYS, Reason.REPORTED_FAILURE),
        ([None, {}], SAYS, Reason.REPORTED_FAILURE),
    ],
)
def test_an_evolution_failure_keeps_what_it_says(parameters: Any, error: str, reason: Reason) -> None:
    update = {"key": {"id": "3EB0A", "fromMe": True}, "update": {"status": 0, "messageStubParameters": parameters}}
    [item] = evolution.parse({"event": "messages.update", "data": [update]})
    assert isinstance(item, DeliveryStatus)
    assert (item.status, item.error, item.error_code) == ("FAILED", error, reason)


def test_a_gateways_words_are_kept_up_to_a_length() -> None:
    item = waha_item("message.ack", {"id": f"true_{CHAT}_3EB0A", "fromMe": True, "ack": -1, "reason": "x" * 9_999})
    assert isinstance(item, DeliveryStatus)
    assert item.error == f"{SAYS}: {'x' * 300}"
