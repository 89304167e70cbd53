"""Meta's webhook: whether it is Meta's, whose numbers it is for, who wrote what, and how far our replies got.

Source: Meta's Cloud API webhooks reference of 2026. A contact may be known by phone number, by business-scoped user id
(BSUID), or by both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from shared import db
from shared.channels.inbound import (
    DeliveryStatus,
    Headers,
    IgnoredItem,
    InboundAccount,
    InboundBatch,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundRevoke,
    MalformedItem,
    ReportedError,
    get_id,
    get_objects,
    get_path,
    get_text,
    get_time,
    in_order,
    parse_item,
)
from shared.channels.outcomes import Reason
from shared.channels.whatsapp_cloud import routing
from shared.channels.whatsapp_cloud.errors import known_code_of, meaning_of, most_telling, words_of
from shared.channels.whatsapp_cloud.identities import changed_names, updated_user_id
from shared.channels.whatsapp_cloud.messages import read_message
from shared.config import settings
from shared.db.credentials import constant_time_equal, hmac_matches

#: `sha256=<hex>`: the HMAC-SHA256 of the body with the app's secret.
SIGNATURE = "X-Hub-Signature-256"
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}", re.ASCII)
#: The fields of webhooks that are about conversations.
FIELDS = frozenset({"messages", "smb_message_echoes", "standby", "messaging_handovers", "user_id_update"})
STATUSES = {"sent": "SENT", "delivered": "DELIVERED", "read": "READ", "played": "READ", "failed": "FAILED"}
#: Our id of a reply (shared/channels/whatsapp_cloud/send.py, callback_id).
_CALLBACK = re.compile(r"msg_(\d{1,18})")
#: What a message and a contact call their customer. Business portfolios that are linked have a user id in common, the parent's.
_SENDER, _CONTACT = ("from", "from_user_id", "from_parent_user_id"), ("wa_id", "user_id", "parent_user_id")
#: Digits by which a mobile number has two forms: Brazil's ninth digit, Mexico's 1, Argentina's 9.
_SECOND_FORM = re.compile(r"^(?:(55\d\d)9(?=\d{8}$)|(52)1(?=\d{10}$)|(54)9(?=\d{10}$))")


# Asked for each change of a webhook, and never remembered: a number that was moved or switched off is so at once. Written out,
# because peewee takes five times as long to put the same text together.
_FIND_ACCOUNT = "select id, chatbot_id, waba_id from whatsapp_cloud_account where phone_number_id = %s and active"


def find_account(phone_number_id: str) -> InboundAccount | None:
    """Whose a number is, if its account is active. Raises ServiceDown."""
    if not (phone_number_id.isascii() and phone_number_id.isdigit()):  # nobody's, and perhaps no text of PostgreSQL's
        return None
    row = db.retry_on_outage(partial(db.row, _FIND_ACCOUNT, [phone_number_id]), db.WEB_RETRY_SECONDS)
    return InboundAccount(row["id"], phone_number_id, row["chatbot_id"], row["waba_id"]) if row else None


def accounts_of_waba(waba_id: str) -> list[InboundAccount]:
    """The active numbers of a business account, as far as its webhooks have told whose they are."""
    rows = db.rows("select id, phone_number_id, chatbot_id from whatsapp_cloud_account where waba_id = %s and active", [waba_id])
    return [InboundAccount(row["id"], row["phone_number_id"], row["chatbot_id"], waba_id) for row in rows]


def shows_signature(headers: Headers) -> bool:
    """Whether there is something like a signature, and a secret to check it with: else the body needs no reading."""
    return bool(settings().whatsapp_app_secret and _SIGNATURE.fullmatch(headers.get(SIGNATURE, "")))


def is_signed(headers: Headers, body: bytes) -> bool:
    """Whether the signature is right; never without WHATSAPP_APP_SECRET."""
    scheme, _, signature = headers.get(SIGNATURE, "").partition("=")
    return scheme == "sha256" and hmac_matches(signature, body, settings().whatsapp_app_secret, "sha256")


def is_verify_token(token: str) -> bool:
    """Whether Meta shows the token that was entered beside the address; never without WHATSAPP_VERIFY_TOKEN."""
    return constant_time_equal(token, settings().whatsapp_verify_token)


def parse_body(body: dict[str, Any]) -> list[InboundBatch]:
    """A batch for each change of each entry that is about messages, by the time of its first message."""
    changes = [change for entry in get_objects(body.get("entry")) for change in get_objects(entry.get("changes"))]
    values = [(change.get("value"), field) for change in changes if (field := get_text(change, "field")) in FIELDS]
    return in_order([parse_change(value, field) for value, field in values if isinstance(value, dict)], _first_time)


def businesses_in(body: dict[str, Any]) -> dict[str, str]:
    """Which business account (WABA) each number of a webhook is of: {phone number id: the account's id}."""
    return {
        number: waba_id
        for entry in get_objects(body.get("entry"))
        if (waba_id := get_id(entry, "id")).isdigit()
        for change in get_objects(entry.get("changes"))
        if (number := get_id(change, "value", "metadata", "phone_number_id"))
    }


def is_about_an_account(body: dict[str, Any]) -> bool:
    """Whether a webhook tells of more than messages: of a business account, its templates."""
    changes = (change for entry in get_objects(body.get("entry")) for change in get_objects(entry.get("changes")))
    return any(change.get("field", "messages") != "messages" for change in changes)


def parse_change(value: dict[str, Any], field: str = "") -> InboundBatch:
    """What a change reports of one number; its members say which of FIELDS it is of, but for copies that stand in no object of
    their own, which would be answered."""
    number = get_id(value, "metadata", "phone_number_id") or get_id(value, "recipient", "phone_number_id")
    if "control_passed" in value or "control_taken" in value:
        items = routing.handover(value)
    elif isinstance(copies := value if field == "standby" and "standby" not in value else value.get("standby"), dict):
        items = routing.standby(copies, _messages(copies))
    elif "message_echoes" in value:
        items = routing.echoes(value)
    elif "user_id_update" in value:
        items = _items(value, "user_id_update", updated_user_id)
    else:
        items = [*_messages(value), *_items(value, "statuses", _status), *_items(value, "errors", _error)]
    return InboundBatch(number, items, value)


def _messages(value: dict[str, Any]) -> list[InboundItem]:
    """As they were written."""
    contacts = get_objects(value.get("contacts"))
    parse_message = partial(_message, contacts=contacts, are_one=_are_of_one(get_objects(value.get("messages")), contacts))
    return in_order(_items(value, "messages", parse_message), _time)


def _time(item: InboundItem) -> float | None:
    return get_time(get_path(item.raw, "timestamp"))


def _first_time(batch: InboundBatch) -> float | None:
    return min((time for item in batch.items if (time := _time(item)) is not None), default=None)


def _items(value: dict[str, Any], name: str, parse: Callable[[dict[str, Any]], InboundItem]) -> list[InboundItem]:
    raw_items, reason = value.get(name), f"{name} must be a list of objects."
    if raw_items is None:
        return []
    if isinstance(raw_items, dict):
        raw_items = [raw_items]
    if not isinstance(raw_items, list):
        return [MalformedItem(raw=raw_items, reason=reason)]
    return [parse_item(parse, raw) if isinstance(raw, dict) else MalformedItem(raw=raw, reason=reason) for raw in raw_items]


def _message(raw: dict[str, Any], contacts: list[dict[str, Any]], are_one: bool) -> InboundItem:
    if get_text(raw, "type").lower() == "system":
        return changed_names(raw)
    contact = _contact_of(raw, contacts, are_one)
    user_id = _first_text(raw, *_SENDER[:2]) or _first_text(contact, *_CONTACT[:2])
    user_id = user_id or _first_text(raw, *_SENDER) or _first_text(contact, *_CONTACT)  # the parent's only if there is no other
    wamid = get_id(raw, "id")
    if not wamid or not user_id:
        return MalformedItem(raw=raw, reason="A message has no " + ("from or from_user_id." if wamid else "id."))
    item = read_message(raw, user_id, get_text(contact, "profile", "name"))
    others = _other_names(raw, contact, user_id)
    if isinstance(item, InboundEdit) and item.message is not None:
        return replace(item, message=replace(item.message, identities=others))
    return replace(item, identities=others) if isinstance(item, InboundMessage | InboundRevoke) else item


def _are_of_one(messages: list[dict[str, Any]], contacts: list[dict[str, Any]]) -> bool:
    """Whether there is one contact, and the messages have one sender: they are the same person, whatever the names."""
    return len(contacts) == 1 and len({_names(message, *_SENDER) for message in messages}) == 1


def _contact_of(raw: dict[str, Any], contacts: list[dict[str, Any]], are_one: bool) -> dict[str, Any]:
    """The contact that a message is from: the one with its name, in either form, or the only one (`_are_of_one`)."""
    names = _names(raw, *_SENDER)
    if are_one or (len(contacts) == 1 and not names):
        return contacts[0]
    forms = _in_one_form(names)
    exact = (contact for contact in contacts if names & _names(contact, *_CONTACT))
    alike = (contact for contact in contacts if forms & _in_one_form(_names(contact, *_CONTACT)))
    return next(exact, None) or next(alike, {})


def _other_names(raw: dict[str, Any], contact: dict[str, Any], user_id: str) -> tuple[str, ...]:
    """The other names of a message's customer that its payload tells."""
    names = (*_texts(raw, *_SENDER), *_texts(contact, *_CONTACT), *_own_number(raw))
    return tuple(name for name in dict.fromkeys(names) if name != user_id)


def _own_number(raw: dict[str, Any]) -> list[str]:
    """The number that a customer shares because the business asked for it; that of any other card may be somebody else's."""
    cards = get_objects(raw.get("contacts"))
    is_own = len(cards) == 1 and get_text(cards[0], "origin").lower() == "contact_request"
    return [name for one in get_objects(cards[0].get("phones")) if (name := get_id(one, "wa_id"))] if is_own else []


def _texts(value: dict[str, Any], *names: str) -> list[str]:
    return [text for name in names if (text := get_id(value, name))]


def _names(value: dict[str, Any], *names: str) -> frozenset[str]:
    return frozenset(_texts(value, *names))


def _in_one_form(names: frozenset[str]) -> frozenset[str]:
    return frozenset(_SECOND_FORM.sub(lambda found: next(filter(None, found.groups())), name) for name in names)


def _status(raw: dict[str, Any]) -> InboundItem:
    wamid, status = get_id(raw, "id"), get_text(raw, "status").lower()
    if not wamid or not status:
        return MalformedItem(raw=raw, reason="A status has no " + ("status." if wamid else "id."))
    # A payment has a status as well: one that failed was asked for by a message that has arrived.
    if status not in STATUSES or get_text(raw, "type").lower() not in ("", "message"):
        return IgnoredItem(raw=raw)
    callback = _CALLBACK.fullmatch(get_text(raw, "biz_opaque_callback_data"))
    words, reason = _failure(raw) if status == "failed" else (None, None)
    return DeliveryStatus(
        raw=raw,
        status=STATUSES[status],
        provider_id=wamid,
        message_id=int(callback[1]) if callback else None,
        error=words,
        error_code=reason,
        at=get_time(raw.get("timestamp")),
    )


def _failure(raw: dict[str, Any]) -> tuple[str, Reason]:
    """Why a message failed: in Meta's words, and in our code."""
    error = most_telling(get_objects(raw.get("errors")) or get_objects(raw.get("error")))
    reason = meaning_of(200, error).reason if error else Reason.REPORTED_FAILURE
    code = f"code {error['code']}, " if error.get("code") is not None else ""
    return f"WhatsApp Cloud: {code}{words_of(error) or 'no reason given'}", reason


def _error(raw: dict[str, Any]) -> InboundItem:
    return ReportedError(raw=raw, code=known_code_of(raw), words=words_of(raw))


def _first_text(value: Any, *names: str) -> str:
    return next(iter(_texts(value, *names)), "")
