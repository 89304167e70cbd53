"""WAHA's webhooks: message, message.any, .edited, .revoked, .reaction and .ack, poll.vote, event.response, session.status.

Source: WAHA's OpenAPI 2026.7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.channels.inbound import (
    DeliveryStatus,
    IgnoredItem,
    InboundItem,
    MalformedItem,
    SessionState,
    get_id,
    get_text,
    get_time,
    integer,
    is_true,
    parse_item,
)
from shared.channels.whatsapp_qr.content import (
    Content,
    Edit,
    Reaction,
    Revoke,
    event_answer,
    vote,
)
from shared.channels.whatsapp_qr.gateway import reported_failure
from shared.channels.whatsapp_qr.ids import message_id_in
from shared.channels.whatsapp_qr.messages import Envelope, address, identities, inbound_item, is_nobodys
from shared.channels.whatsapp_qr.unwrap import field, first_text, text
from shared.channels.whatsapp_qr.waha_content import DECORATED, bare_id, reading_of

#: How WAHA calls a session that can send.
CONNECTED = "WORKING"
_NAMES = {"ERROR": -1, "PENDING": 0, "SERVER": 1, "DEVICE": 2, "READ": 3, "PLAYED": 4}
_ACKS = {-1: "FAILED", 1: "SENT", 2: "DELIVERED", 3: "READ", 4: "READ"}
#: Where a @lid's phone number stands, or the reverse.
_ALTERNATIVES = (
    ("key", "remoteJidAlt"),
    ("key", "senderPn"),
    ("key", "senderLid"),
    ("key", "participantPn"),
    ("key", "participantLid"),
    ("key", "participantAlt"),
    ("Info", "SenderAlt"),
    ("Info", "Sender"),
    ("senderPn",),
    ("senderLid",),
)
#: The same of what was sent from the phone: the others are then the business's own names.
_OF_THE_CHAT = (("key", "remoteJidAlt"), ("Info", "RecipientAlt"))


def parse(body: dict[str, Any], /) -> list[InboundItem]:
    """The event's one item."""
    event, payload = get_text(body, "event").lower(), body.get("payload")
    parser = _PARSERS.get(event)
    if parser is None:
        return [IgnoredItem(raw=body)]
    if not isinstance(payload, dict):
        return [MalformedItem(raw=body, reason=f"The payload of {event} is not an object.")]
    return [parse_item(parser, {**payload, "timestamp_ms": body.get("timestamp")})]


# ------------------------------------------------------------------------------------------------------------- envelopes


def _envelope(raw: dict[str, Any]) -> Envelope:
    data, decorated, from_me = raw.get("_data"), DECORATED.fullmatch(message_id_in(raw)), _from_me(raw)
    named = decorated[1] if decorated else get_text(raw, "id", "remote") or get_text(raw, "remote") or get_text(raw, "remoteJid")
    is_of_a_crowd = is_nobodys(_address(named))  # a story, perhaps, whose `from` may be who showed it
    chat_id = _address(named if is_of_a_crowd else _person(raw, "to" if from_me else "from") or named)
    alternatives = _OF_THE_CHAT if from_me else _ALTERNATIVES
    return Envelope(
        raw=raw,
        chat_id=chat_id,
        external_id=bare_id(message_id_in(raw)),
        from_me=from_me,
        sent_at=get_time(raw.get("timestamp")),
        profile_name="" if from_me else first_text(data, "notifyName", "pushName") or text(data, "Info", "PushName"),
        identities=identities(chat_id, *(_address(name) for name in (named, *(text(data, *path) for path in alternatives)))),
    )


def _from_me(raw: dict[str, Any]) -> bool:
    """Whether the business's own people wrote it; where WAHA does not say so, the id does."""
    flag = raw.get("fromMe")
    return message_id_in(raw).startswith("true_") if flag is None else is_true(flag)


def _person(raw: dict[str, Any], name: str) -> str:
    """An engine's own object may have the id within."""
    return get_text(raw, name, "_serialized") or get_text(raw, name)


def _address(name: str) -> str:
    """A chat id as WAHA writes it, where an engine's own object has another form."""
    return address(name).replace("@s.whatsapp.net", "@c.us")


# -------------------------------------------------------------------------------------------------------------- messages


def _message(raw: dict[str, Any]) -> InboundItem:
    if _from_me(raw) and get_text(raw, "source").lower() == "api":  # our own, or another program's: no person's
        return IgnoredItem(raw=raw)
    return inbound_item(_envelope(raw), reading_of(raw))


# ------------------------------------------------------------------------------------------- changes of earlier messages


def _edited(raw: dict[str, Any]) -> InboundItem:
    reading = reading_of(raw)
    content = reading.content if isinstance(reading, Edit) else reading
    original_id = bare_id(get_text(raw, "editedMessageId")) or (reading.original_id if isinstance(reading, Edit) else "")
    return inbound_item(_envelope(raw), Edit(original_id, content) if isinstance(content, Content) else None)


def _revoked(raw: dict[str, Any]) -> InboundItem:
    """`before` and `after` are the message as it was and is; either may be missing."""
    message = next((raw[name] for name in ("before", "after") if isinstance(raw.get(name), dict)), raw)
    note = reading_of(raw["after"]) if isinstance(raw.get("after"), dict) else None
    original_id = bare_id(get_text(raw, "revokedMessageId")) or (note.original_id if isinstance(note, Revoke) else "")
    return _of_event(inbound_item(_envelope(message), Revoke(original_id)), raw)


def _of_event(item: InboundItem, raw: dict[str, Any]) -> InboundItem:
    """The item, as if all of the event had been its own."""
    return replace(item, raw=raw)


def _reaction(raw: dict[str, Any]) -> InboundItem:
    reaction = raw.get("reaction")
    message_id = text(reaction, "messageId", "_serialized") or text(reaction, "messageId")
    return inbound_item(_envelope(raw), Reaction(bare_id(message_id), text(reaction, "text")))


def _vote(raw: dict[str, Any]) -> InboundItem:
    cast = raw.get("vote")
    if not isinstance(cast, dict):
        return MalformedItem(raw=raw, reason="A poll.vote has no vote.")
    selected = field(cast, "selectedOptions")
    chosen = selected if isinstance(selected, list) else []
    names = [name for one in chosen if (name := one if isinstance(one, str) else first_text(one, "name", "optionName"))]
    poll_id = bare_id(get_text(raw, "poll", "id"))
    reading = vote(get_text(raw, "poll", "name"), names, poll_id) if names else None  # none: the vote was taken back
    envelope = _envelope(cast)
    if reading is not None and envelope.external_id == poll_id:  # WPP: each vote has its poll's id, and replaces the one before
        return _of_event(inbound_item(replace(envelope, external_id=f"vote:{poll_id}"), Edit("", reading)), raw)
    return _of_event(inbound_item(envelope, reading), raw)


def _event_response(raw: dict[str, Any]) -> InboundItem:
    answer, event_id = get_text(raw, "eventResponse", "response"), bare_id(get_text(raw, "eventCreationKey", "id"))
    return inbound_item(_envelope(raw), event_answer(answer, event_id) if answer else None)


# ------------------------------------------------------------------------------------------------------ acks and sessions


def _ack(raw: dict[str, Any]) -> InboundItem:
    ack, external_id = integer(raw.get("ack")), message_id_in(raw)
    ack = _NAMES.get(get_text(raw, "ackName").upper()) if ack is None else ack
    if not external_id or ack is None:
        return MalformedItem(raw=raw, reason="A message.ack has no " + ("ack." if external_id else "id."))
    if not _from_me({"fromMe": True, **raw}) or ack not in _ACKS:
        return IgnoredItem(raw=raw)
    failure = _failure(raw) if ack < 0 else {}
    return DeliveryStatus(raw=raw, status=_ACKS[ack], provider_id=bare_id(external_id), **failure)


def _failure(raw: dict[str, Any]) -> dict[str, Any]:
    """NOWEB has WhatsApp's code and until when it counts, WEBJS a text."""
    error = raw.get("error")
    until = f"until {end}" if (end := get_text(error, "until")) else ""
    words = (get_text(error, "reason"), get_text(error, "message"), until, get_text(raw, "error"), get_text(raw, "reason"))
    return reported_failure(get_id(error, "code"), *words)


def _session_status(raw: dict[str, Any]) -> InboundItem:
    state = get_text(raw, "status").upper()
    if not state:
        return MalformedItem(raw=raw, reason="A session.status has no status.")
    return SessionState(raw=raw, connected=state == CONNECTED, detail=state, at=get_time(raw.get("timestamp_ms")))


_PARSERS = {
    "message": _message,
    "message.any": _message,
    "message.edited": _edited,
    "message.revoked": _revoked,
    "message.reaction": _reaction,
    "poll.vote": _vote,
    "event.response": _event_response,
    "message.ack": _ack,
    "session.status": _session_status,
}
#: What is understood.
EVENTS = tuple(_PARSERS)
