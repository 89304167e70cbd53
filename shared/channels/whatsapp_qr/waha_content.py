"""What a message of WAHA says: by its engine's own object, or by what WAHA has made of it.

NOWEB leaves Baileys' object under `_data` ({"key", "message"}), GOWS whatsmeow's ({"Info", "Message"}), WEBJS and WPP the page's
own, whose `type` names its kind.
"""

from __future__ import annotations

import re
from typing import Any

from shared.channels.inbound import Media, get_id, get_objects, get_text, integer, is_true
from shared.channels.kinds import Kind, MediaKind
from shared.channels.whatsapp_qr.content import (
    Content,
    Reading,
    choice,
    contacts,
    event,
    location,
    poll,
)
from shared.channels.whatsapp_qr.unwrap import field, first_text, text
from shared.channels.whatsapp_qr.web_kinds import answer_of_flow, as_order, as_product
from shared.channels.whatsapp_qr.web_messages import read, referral
from shared.channels.words import quoted

#: How WAHA's engines decorate a message's id: whether we sent it, and the chat, which may be @c.us for the send and @lid for
#: its acks. WhatsApp's own id is what both have in common.
DECORATED = re.compile(r"(?:true|false)_([^_@]+@[^_]+)_([^_]+)(?:_.*)?")
#: The page's types of what nobody waits for an answer to: notices, what is encrypted, the greeting that WhatsApp itself shows to
#: who comes from an ad.
_SILENT = frozenset({
    "album", "automated_greeting_message", "biz-cover-photo", "biz_content_placeholder", "bot_typing", "call_log", "ciphertext",
    "comment", "debug", "debug_placeholder", "enc_event_response", "event_response", "gp2", "group_status_mention",
    "guest_upsell_system_msg", "history_bundle", "initial_security_notification_setting_sync", "keep_in_chat",
    "message_history_bundle", "message_history_notice", "newsletter_admin_invite", "newsletter_follower_invite", "notification",
    "notification_template", "oversized_placeholder", "peer_data_operation", "pin_in_chat", "pin_message", "pinned_message",
    "poll_add_option_decrypted", "poll_result_snapshot", "poll_update", "protocol", "reaction", "request_phone_number",
    "requestphonenumber", "revoked", "scheduled_call_creation", "secretencrypted", "sender_key_distribution", "status_mention",
    "system",
})  # fmt: skip
_SILENT_ENDS = ("_edit", "_notification", "_enc", "_encrypted")
_FILES = {
    "image": MediaKind.IMAGE,
    "video": MediaKind.VIDEO,
    "ptv": MediaKind.VIDEO,
    "ptt": MediaKind.VOICE,
    "audio": MediaKind.AUDIO,
    "document": MediaKind.DOCUMENT,
    "sticker": MediaKind.STICKER,
}
#: What a file is called where it has no words, if not as its kind is.
_LABELS = {MediaKind.VOICE: "audio"}
#: Where WhatsApp has a file, encrypted.
_OF_WHATSAPP = re.compile(r"https?://[^/?#]+\.whatsapp\.net(?:[:/?#]|$)", re.I)
#: What WEBJS leaves in `body` of a place, a product, a file that it has not loaded: a small picture.
_THUMBNAIL = re.compile(
    r"data:[\w./+-]+;base64,.*|(?:/9j/|iVBORw0KGgo|UklGR|R0lGOD)[A-Za-z0-9+/\s]{80,}={0,2}|[A-Za-z0-9+/]{200,}={0,2}", re.S
)


def bare_id(external_id: str) -> str:
    """WhatsApp's id of a message, without what WAHA's engines put around it."""
    decorated = DECORATED.fullmatch(external_id)
    return decorated[2] if decorated else external_id


def reading_of(raw: dict[str, Any]) -> Reading:
    """What the engine's own object says, with what WAHA has made of it; or that alone."""
    message = field(raw, "_data", "message")
    if isinstance(message, dict) and message:
        reading = read(message)
        return _completed(reading, raw) if isinstance(reading, Content) else reading
    return _plain(raw)


def _plain(raw: dict[str, Any]) -> Content | None:
    """What WAHA says itself, and the page's object of WEBJS. A kind that is new to us, and has no words, is kept for people."""
    kind = get_text(raw, "_data", "type").lower()
    if kind in _SILENT or kind.endswith(_SILENT_ENDS):
        return None
    content = _structured(raw, raw.get("_data"), kind)
    if content is None and (_has_file(raw) or kind in _FILES):
        content = Content(kind=Kind.MEDIA)
    read = _completed(content or Content(), raw)
    return read or (Content(kind=Kind.SYSTEM, label=kind[:40]) if kind not in ("", "chat") else None)


def _completed(content: Content, raw: dict[str, Any]) -> Content | None:
    """The content with WAHA's words, files and quoted message; None if there is nothing at all."""
    words = content.words or _words(raw, content.kind)
    media = _files(raw, content) if _has_file(raw) or content.kind is Kind.MEDIA else ()
    data = {**_quoted(raw), **_ad(raw), **content.data}
    kind = Kind.MEDIA if media else content.kind
    label = content.label or (_LABELS.get(media[0].kind, media[0].kind.value) if media else "")
    return Content(words, kind, label, data, media) if words or label or content.data else None


def _has_file(raw: dict[str, Any]) -> bool:
    """Whether WAHA says so, or gives it."""
    return is_true(raw.get("hasMedia")) or any(text(raw, "media", name) for name in ("url", "data"))


def _quoted(raw: dict[str, Any]) -> dict[str, Any]:
    """The message that is answered to, with its words."""
    page = field(raw, "_data", "quotedMsg")  # WEBJS'
    quoted_id = bare_id(get_id(raw, "replyTo", "id") or get_id(raw, "replyTo") or text(raw, "_data", "quotedStanzaID"))
    said = (get_text(raw, "replyTo", "body"), text(page, "caption"), text(page, "body"))
    words = next((one for one in said if one and not _THUMBNAIL.fullmatch(one)), "")
    return {"quoted": quoted(quoted_id, words)} if quoted_id else {}


def _ad(raw: dict[str, Any]) -> dict[str, Any]:
    """The ad that somebody comes from, where WEBJS keeps it."""
    found = referral(field(raw, "_data", "ctwaContext"))
    return {"referral": found} if found else {}


#: Kinds whose `body` is not what was typed, but what their data says.
_SAID_BY_DATA = frozenset({Kind.CHOICE, Kind.CONTACT, Kind.FORM, Kind.POLL})
#: Where words are beside `body`: what was typed with a file, with a place, with a payment.
_TYPED = (("caption",), ("_data", "caption"), ("_data", "comment"), ("_data", "paymentNoteMsg", "body"))


def _words(raw: dict[str, Any], kind: Kind) -> str:
    """`body`, unless it repeats the data, or is a small picture."""
    if kind in _SAID_BY_DATA:
        return ""
    is_typed = kind is Kind.TEXT and text(raw, "_data", "type") in ("", "chat")
    said = (get_id(raw, "body"), *(text(raw, *path) for path in _TYPED))
    return next((words for words in said if words and (is_typed or not _THUMBNAIL.fullmatch(words))), "")


def _files(raw: dict[str, Any], content: Content) -> tuple[Media, ...]:
    """The file of a message, in WAHA's words; what the engine knows besides, too."""
    known, media = next(iter(content.media), None), raw.get("media")
    mime = text(media, "mimetype") or (known.mime if known else None) or text(raw, "_data", "mimetype")
    mime = mime.lower()
    file = Media(
        kind=_media_kind(raw, known, mime),
        source={"base64": True} if isinstance(field(media, "data"), str) else {"url": _address_of_file(raw)},
        mime=mime or None,
        filename=text(media, "filename") or (known.filename if known else None) or text(raw, "_data", "filename") or None,
        size=integer(field(raw, "_data", "size")) or (known.size if known else None),
    )
    return (file,)


def _address_of_file(raw: dict[str, Any]) -> str:
    """Where WAHA has the file. WPP says in `mediaUrl` where WhatsApp has it: encrypted, so that it is nobody's picture."""
    old_name = text(raw, "mediaUrl")
    return text(raw, "media", "url") or ("" if _OF_WHATSAPP.match(old_name) else old_name)


def _media_kind(raw: dict[str, Any], known: Media | None, mime: str) -> MediaKind:
    by_type = known.kind if known else _FILES.get(get_text(raw, "_data", "type").lower())
    if by_type is not None:
        return by_type
    if mime.startswith("audio/"):
        # WhatsApp records voice notes, and nothing else, in Opus.
        return MediaKind.VOICE if "opus" in mime or mime == "audio/ogg" else MediaKind.AUDIO
    if mime == "image/webp":
        return MediaKind.STICKER
    return _FILES.get(mime.partition("/")[0], MediaKind.DOCUMENT)


def _structured(raw: dict[str, Any], data: Any, kind: str) -> Content | None:
    """Places, cards, choices, orders, polls: by WAHA's own members, or by the page's type."""
    place, cards = raw.get("location"), raw.get("vCards")
    cards = [cards] if cards and isinstance(cards, str) else cards
    cards = list(cards.values()) if isinstance(cards, dict) else cards  # {"0": …}
    if isinstance(place, dict) and place:
        return _place(place)
    if kind in ("location", "live_location"):
        return location(field(data, "lat"), field(data, "lng"), **_named_place(text(data, "loc"), text(data, "address")))
    if isinstance(cards, list) and cards:
        return contacts([("", card) for card in cards if isinstance(card, str)])
    if kind == "multi_vcard" and (listed := get_objects(field(data, "vcardList"))):
        return contacts([(text(card, "displayName"), text(card, "vcard")) for card in listed])
    if kind in ("vcard", "multi_vcard"):
        return contacts([(text(data, "vcardFormattedName"), first_text(data, "body", "vcard") or get_text(raw, "body"))])
    if kind == "order":
        return as_order(data)
    if kind == "product":
        return as_product(data, "")
    if kind == "event_creation":
        place = first_text(field(data, "eventLocation"), "name", "address")
        return event(text(data, "eventName"), text(data, "eventDescription"), place, integer(field(data, "eventStartTime")))
    return _poll(raw, data, kind) or _choice(raw, data)


def _place(place: dict[str, Any]) -> Content:
    return location(
        field(place, "latitude"),
        field(place, "longitude"),
        url=text(place, "url"),
        **_named_place(first_text(place, "name", "title", "description"), text(place, "address")),
    )


def _named_place(named: str, address: str) -> dict[str, str]:
    """The page has a place's name, and below it the address."""
    name, _, below = named.partition("\n")
    return {"name": name.strip(), "address": address or below.strip().replace("\n", ", ")}


def _poll(raw: dict[str, Any], data: Any, kind: str) -> Content | None:
    source = raw.get("poll") if isinstance(raw.get("poll"), dict) else data if kind == "poll_creation" else None
    if source is None:
        return None
    options = field(source, "options") or field(source, "pollOptions")
    names = [option if isinstance(option, str) else first_text(option, "name", "optionName") for option in options or []]
    return poll(first_text(source, "name", "pollName"), [name for name in names if name])


def _choice(raw: dict[str, Any], data: Any) -> Content | None:
    """A pressed button, a list's row or a filled form, where WEBJS keeps it."""
    row, body = field(data, "listResponse"), get_text(raw, "body")
    if isinstance(row, dict):
        return choice(text(row, "title") or body, text(row, "singleSelectReply", "selectedRowId"), text(row, "description"))
    flow = next((part for part in (data.values() if isinstance(data, dict) else ()) if text(part, "paramsJson")), None)
    if flow is not None:
        return answer_of_flow({"body": {"text": body}, "nativeFlowResponseMessage": flow})
    chosen = next((found for holder in (raw, data) for name in _CHOSEN if (found := text(holder, name))), "")
    words = body or text(data, "selectedDisplayText")
    return choice(words, chosen) if chosen else None


_CHOSEN = ("selectedButtonId", "selectedRowId", "selectedId")
