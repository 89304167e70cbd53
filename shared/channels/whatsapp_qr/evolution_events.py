"""Evolution's webhooks: messages.upsert, messages.update, messages.edited, messages.delete, connection.update.

Source: Evolution API 2.3, and Baileys, whose own shapes ({"messages": […]}, {"key", "update"}) are taken as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.channels.inbound import (
    DeliveryStatus,
    IgnoredItem,
    InboundItem,
    InboundMessage,
    MalformedItem,
    SessionState,
    get_id,
    get_objects,
    get_path,
    get_text,
    get_time,
    integer,
    is_true,
    parse_item,
)
from shared.channels.kinds import Kind, MediaKind
from shared.channels.whatsapp_qr.content import Content, Edit, Reading, Revoke, vote, with_source
from shared.channels.whatsapp_qr.gateway import reported_failure
from shared.channels.whatsapp_qr.messages import Envelope, address, identities, inbound_item
from shared.channels.whatsapp_qr.unwrap import BESIDE, field, text, unwrap
from shared.channels.whatsapp_qr.web_messages import read, said_beside

#: How Evolution calls a session that can send.
CONNECTED = "open"
_STATUSES = {"SERVER_ACK": "SENT", "DELIVERY_ACK": "DELIVERED", "READ": "READ", "PLAYED": "READ", "ERROR": "FAILED"}
_SEPARATORS = re.compile("[_-]")
#: Where a key tells another name of the chat's person: the phone number beside a @lid, or the reverse.
_ALTERNATIVES = (
    "remoteJidAlt",
    "senderPn",
    "senderLid",
    "participantPn",
    "participantLid",
    "participantAlt",
    "previousRemoteJid",
)
#: What Evolution writes where its transcriber said nothing.
_NOTHING_HEARD = ("undefined", "null")
#: The same of what was sent from the phone: the others are then the business's own names.
_OF_THE_CHAT = ("remoteJidAlt", "previousRemoteJid")
#: What Baileys tells of a connection besides.
_ABOUT_CONNECTIONS = frozenset({"qr", "isOnline", "isNewLogin", "receivedPendingNotifications", "legacy"})
#: What fetching a file does not need: previews, and what was answered to.
_NOT_FETCHED = frozenset(
    {"jpegThumbnail", "thumbnail", "contextInfo", "base64", "messageContextInfo", "waveform", "scansSidecar"}
)


def parse(body: dict[str, Any], /) -> list[InboundItem]:
    """The event's items."""
    event, data = _SEPARATORS.sub(".", get_text(body, "event").lower()), body.get("data")
    parser = _PARSERS.get(event)
    if parser is None:
        return [IgnoredItem(raw=body)]
    if not isinstance(data, dict | list):
        return [MalformedItem(raw=body, reason=f"The data of {event} is not an object.")]
    raws = get_objects(data if isinstance(data, list) else _list_in(data) or [data])
    items = [parse_item(parser, raw) for raw in raws]
    return list(_joined_albums(raws, items)) or [IgnoredItem(raw=body)]


def _list_in(data: dict[str, Any]) -> list[Any] | dict[str, Any] | None:
    """Baileys' own shapes hold a list."""
    lists = (data.get(name) for name in ("messages", "updates", "keys"))
    return next((found for found in lists if isinstance(found, list | dict)), None)


def _message(raw: dict[str, Any]) -> InboundItem:
    return inbound_item(_envelope(raw), _reading(raw))


def _envelope(raw: dict[str, Any]) -> Envelope:
    """The key is beside the message; some events have what it holds beside it, and call its id keyId."""
    key, from_me = get_path(raw, "key"), _from_me(raw)
    key = key if isinstance(key, dict) else raw
    chat_id = address(get_text(key, "remoteJid"))
    names = [get_text(holder, name) for name in (_OF_THE_CHAT if from_me else _ALTERNATIVES) for holder in (key, raw)]
    return Envelope(
        raw=raw,
        chat_id=chat_id,
        external_id=get_id(key, "id") or get_id(raw, "keyId"),
        from_me=from_me,
        sent_at=get_time(raw.get("messageTimestamp")),
        profile_name="" if from_me else get_text(raw, "pushName"),
        identities=identities(chat_id, *names),
    )


def _from_me(raw: dict[str, Any]) -> bool:
    return is_true(get_path(raw, "key", "fromMe")) or is_true(raw.get("fromMe"))


def _reading(raw: dict[str, Any]) -> Reading:
    reading, beside = read(raw.get("message")), said_beside(raw, {})
    if isinstance(reading, Content):  # Evolution makes a plain `conversation` of a reply, and has its context beside it
        reading = replace(reading, data={**beside, **reading.data})
    elif reading is None and "referral" in beside and _is_wordless(raw):  # an ad was pressed, and nothing written
        reading = Content(data=beside)
    if isinstance(reading, Content) and reading.media:
        return _heard(with_source(reading, _source(raw)), get_text(raw, "message", "speechToText"))
    return reading or _voted(raw)


def _is_wordless(raw: dict[str, Any]) -> bool:
    """Whether it is a text without words, of which Evolution leaves nothing but what stands beside."""
    return all(name.lower() in {"conversation", *BESIDE} for name in unwrap(raw.get("message")).parts)


def _heard(content: Content, speech: str) -> Content:
    """A voice note with what Evolution heard in it, where it has a transcriber of its own (OPENAI_ENABLED)."""
    speech = speech.removeprefix("[audio]").strip()
    [file, *others] = content.media
    if file.kind not in (MediaKind.VOICE, MediaKind.AUDIO) or not speech or speech in _NOTHING_HEARD:
        return content
    return replace(content, words=speech, media=(replace(file, text=speech), *others))


def _voted(raw: dict[str, Any]) -> Reading:
    """A vote as a message of its own; it names its poll."""
    chosen = _votes(raw)
    poll_id = text(unwrap(raw.get("message")).parts, "pollUpdateMessage", "pollCreationMessageKey", "id")
    return vote("", chosen, poll_id) if chosen else None


def _votes(raw: dict[str, Any]) -> list[str]:
    """What was chosen in a poll, where Evolution has counted the votes: [{"name": "Yes", "voters": ["49…"]}]."""
    counted = (option for option in get_objects(raw.get("pollUpdates")) if _is_chosen(option.get("voters")))
    return [name for option in counted if (name := get_text(option, "name"))]


def _is_chosen(voters: Any) -> bool:
    """By somebody else than the business itself."""
    return isinstance(voters, list) and any(voter != "me" for voter in voters)


def _source(raw: dict[str, Any]) -> dict[str, Any]:
    """What Evolution needs to give a file: its message; or the file itself, where the webhook holds it or S3 does."""
    message, inner = raw.get("message"), unwrap(raw.get("message")).parts
    url = get_text(message, "mediaUrl") or get_text(inner, "mediaUrl")
    here = isinstance(field(message, "base64") or field(inner, "base64"), str)
    source = {"base64": True} if here else {"url": url} if url else {}
    return {**source, "message": {"key": raw.get("key"), "message": _without_previews(message)}}


def _without_previews(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_previews(inner) for name, inner in value.items() if name not in _NOT_FETCHED}


# ---------------------------------------------------------------------------------------------------------------- albums


def _joined_albums(raws: Iterable[dict[str, Any]], items: Iterable[InboundItem]) -> Iterator[InboundItem]:
    """Gives files that came behind an album's header, and do not name it, the header's id as their album's."""
    album, chat_id, missing = "", "", 0
    for raw, item in zip(raws, items, strict=True):
        header = field(unwrap(raw.get("message")).parts, "albumMessage")
        if isinstance(header, dict):
            album, chat_id = get_text(raw, "key", "id"), address(get_text(raw, "key", "remoteJid"))
            missing = (integer(field(header, "expectedImageCount")) or 0) + (integer(field(header, "expectedVideoCount")) or 0)
        elif missing and isinstance(item, InboundMessage) and item.kind is Kind.MEDIA and item.external_user_id == chat_id:
            missing -= 1
            item = replace(item, data={"album": album, **item.data})
        yield item


# ------------------------------------------------------------------------------------------- changes of earlier messages


def _edited(raw: dict[str, Any]) -> InboundItem:
    """messages.edited: a note of the protocol alone, an edit or another, with the key of the message that it is about."""
    is_edit = "editedMessage" in raw
    if not is_edit and "type" not in raw:
        reading = _reading(raw)
        return inbound_item(_envelope(raw), Edit("", reading) if isinstance(reading, Content) else reading)
    note = {"protocolMessage": {"type": "MESSAGE_EDIT", **raw} if is_edit else raw}
    return inbound_item(_as_its_author_sees_it(_envelope(raw)), read(note))


def _as_its_author_sees_it(envelope: Envelope) -> Envelope:
    """The key of a note is its author's: from_me, in the chat with us, is the customer's own message. A colleague's is alike,
    and no message of a customer's has its id; so the id alone says whose it is."""
    return replace(envelope, from_me=False, chat_id="") if envelope.from_me else envelope


def _deleted(raw: dict[str, Any]) -> InboundItem:
    """messages.delete: the key of the message that was deleted."""
    return inbound_item(_envelope(raw), Revoke(""))


def _update(raw: dict[str, Any]) -> InboundItem:
    """How far a message got; or its new text; or that it was deleted."""
    update = raw["update"] if isinstance(raw.get("update"), dict) else raw
    external_id, status = _id_of_update(raw), _status(update.get("status"))
    if not external_id:
        return MalformedItem(raw=raw, reason="A messages.update has no keyId.")
    change = _change(update, status)
    if change is not None:
        return inbound_item(_envelope(raw), change)
    if "pollUpdates" in update:
        return _poll_counted(raw, _votes(update), external_id)
    if _is_theirs(raw) or status not in _STATUSES:
        return IgnoredItem(raw=raw)
    failure = _failure(update) if status == "ERROR" else {}
    return DeliveryStatus(raw=raw, status=_STATUSES[status], provider_id=external_id, **failure)


def _failure(update: dict[str, Any]) -> dict[str, Any]:
    """Baileys keeps WhatsApp's code, and what stands beside it, as the parameters of a stub."""
    said = update.get("messageStubParameters")
    code, *words = [get_id({"one": one}, "one") for one in said] if isinstance(said, list) and said else [""]
    return reported_failure(code, *words)


def _is_theirs(raw: dict[str, Any]) -> bool:
    """Whether it says that the message is the customer's; some updates do not say."""
    flags = [flag for flag in (raw.get("fromMe"), get_path(raw, "key", "fromMe")) if flag is not None]
    return not all(map(is_true, flags))


def _id_of_update(raw: dict[str, Any]) -> str:
    """Evolution 1 has the members of the key themselves, without a `keyId`."""
    return get_id(raw, "keyId") or get_id(raw, "key", "id") or get_id(raw, "id")


def _poll_counted(raw: dict[str, Any], chosen: list[str], poll_id: str) -> InboundItem:
    """The votes of a poll, counted anew: one message of the customer's, whose text each vote replaces."""
    if not chosen:
        return IgnoredItem(raw=raw)
    envelope = replace(_envelope(raw), external_id=f"vote:{poll_id}", from_me=False)
    return inbound_item(envelope, Edit("", vote("", chosen, poll_id)))


#: Baileys' numbers of statuses.
_NUMBERS = {0: "ERROR", 1: "PENDING", 2: "SERVER_ACK", 3: "DELIVERY_ACK", 4: "READ", 5: "PLAYED"}


def _status(value: Any) -> str:
    number = integer(value)
    if number is not None:
        return _NUMBERS.get(number, "")
    return value.strip().upper() if isinstance(value, str) else ""


def _change(update: dict[str, Any], status: str) -> Reading:
    """What an update does to its message; None if it only tells how far it got."""
    if _is_deletion(update, status):
        return Revoke("")
    reading = read(update.get("message"))
    return (None if status else Edit("", reading)) if isinstance(reading, Content) else reading


def _is_deletion(update: dict[str, Any], status: str) -> bool:
    """Baileys takes the message away, or says why (stub 1 is a deletion).

    Evolution's status DELETED is no deletion, for which it has an event: it is what it calls an update without a status, such as
    an edit (evolution-api#2010) or a vote.
    """
    is_taken_away = "message" in update and update["message"] is None and not status
    return is_taken_away or update.get("messageStubType") in (1, "REVOKE")


def _connection_update(raw: dict[str, Any]) -> InboundItem:
    state = get_text(raw, "state") or get_text(raw, "connection")
    if not state and not _ABOUT_CONNECTIONS.isdisjoint(raw):
        return IgnoredItem(raw=raw)
    if not state:
        return MalformedItem(raw=raw, reason="A connection.update has no state.")
    return SessionState(raw=raw, connected=state == CONNECTED, detail=state)


_PARSERS = {
    "messages.upsert": _message,
    "messages.update": _update,
    "messages.edited": _edited,
    "messages.delete": _deleted,
    "connection.update": _connection_update,
}
#: What is understood.
EVENTS = tuple(_PARSERS)
