"""What a message object of WhatsApp Web says, whatever it is wrapped in, or that nobody waits for an answer to it.

`web_kinds` reads each kind. One that it does not know is read for its words, and kept without an answer if it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared.channels.inbound import integer, present
from shared.channels.kinds import Kind
from shared.channels.whatsapp_qr.content import Content, Edit, Reaction, Reading, Revoke
from shared.channels.whatsapp_qr.unwrap import BESIDE, Unwrapped, field, first_text, text, unwrap
from shared.channels.whatsapp_qr.web_kinds import OF_FILES, READERS, unknown
from shared.channels.words import in_words, quoted

Body = Mapping[str, Any]

#: What nobody waits for an answer to: notes of the protocol, calls, what is encrypted for somebody else, headers of albums,
#: messages whose text comes later.
SILENT = frozenset({
    "albummessage", "bcallmessage", "call", "calllogmessage", "calllogmesssage", "cancelpaymentrequestmessage", "chat",
    "conditionalrevealmessage", "declinepaymentrequestmessage", "devicesentmessage", "encreactionmessage",
    "eventresponsemessage", "fastratchetkeysenderkeydistributionmessage", "keepinchatmessage", "messagehistorybundle",
    "messagehistorynotice", "newsletteradmininvitemessage", "newsletterfollowerinvitemessage",
    "newsletterfollowerinvitemessagev2", "pininchatmessage", "placeholdermessage", "polladdoptionmessage",
    "pollresultsnapshotmessage", "pollresultsnapshotmessagev3", "pollupdatemessage", "requestcontactinfomessage",
    "requestphonenumbermessage", "scheduledcallcreationmessage", "scheduledcalleditmessage", "senderkeydistributionmessage",
    "statusnotificationmessage", "statusstickerinteractionmessage", "stickersyncrmrmessage",
})  # fmt: skip
#: Wrappers of what is no message, whatever is in them: pictures of polls and events, notices.
_SILENT_WRAPPERS = frozenset({
    "eventcoverimage", "groupstatusmentionmessage", "limitsharingmessage", "pollcreationoptionimagemessage",
    "statusmentionmessage",
})  # fmt: skip
#: WhatsApp's kinds of media that belong to others, by AssociationType: those that are the same again, pictures of an event or a
#: poll; and the same by PairedMediaType.
_PIECES = (
    *("HD_VIDEO_DUAL_UPLOAD", 5, "HD_IMAGE_DUAL_UPLOAD", 10, "MOTION_PHOTO", 12, "HEVC_VIDEO_DUAL_UPLOAD", 19),
    *("EVENT_COVER_IMAGE", 3, "MEDIA_POLL", 7),
)
_PAIRED_COPIES = ("HD_VIDEO_CHILD", 2, "HD_IMAGE_CHILD", 4, "MOTION_PHOTO_CHILD", 6, "HEVC_VIDEO_CHILD", 8)
#: The beginnings of names of what is encrypted: reactions, comments, answers to events.
_ENCRYPTED = ("enc", "secretencrypted")


def read(message: Any) -> Reading:
    """What a message object says, whatever it is wrapped in; None: nothing that needs anything."""
    inner = unwrap(message)
    if not _SILENT_WRAPPERS.isdisjoint(name.lower() for name in inner.wrappers):
        return None
    protocol, reaction = field(inner.parts, "protocolMessage"), field(inner.parts, "reactionMessage")
    if isinstance(protocol, dict):
        return _read_protocol(protocol)
    if isinstance(reaction, dict):
        return Reaction(text(reaction, "key", "id"), text(reaction, "text"))
    content = None if _is_piece(inner) else _read_content(inner)
    is_edit = any(name.lower() == "editedmessage" for name in inner.wrappers)
    return Edit("", content) if is_edit and content else content


def _is_piece(inner: Unwrapped) -> bool:
    """Whether a picture or a film comes once more, in better quality or as the film of a moving picture; or is of a poll, an
    event."""
    if field(inner.context, "messageAssociation", "associationType") in _PIECES:
        return True
    return any(field(part, "contextInfo", "pairedMediaType") in _PAIRED_COPIES for part in inner.parts.values())


def _read_protocol(note: Body) -> Reading:
    """Edits and deletions are notes of the protocol; the other notes are for the phone. Type 0, a deletion's, may be left out."""
    kind, original_id, edited = field(note, "type"), text(note, "key", "id"), field(note, "editedMessage")
    if isinstance(edited, dict) and kind in (14, "14", "MESSAGE_EDIT", None):
        inner = read(field(edited, "message") or edited)
        content = inner.content if isinstance(inner, Edit) else inner
        return Edit(original_id, content) if isinstance(content, Content) else None
    return Revoke(original_id) if original_id and kind in (0, "0", "REVOKE", None) else None


def _read_content(inner: Unwrapped) -> Content | None:
    """What its first part says that says anything; or that there was a file."""
    part, content = next(((part, content) for part, content in _contents(inner) if content), (None, None))
    if not inner.parts:
        content = next((unknown(name, {}) for name in inner.wrappers if name.lower().startswith(OF_FILES)), None)
    content = content or _ad_alone(inner)
    return content and replace(content, data={**content.data, **said_beside(part, inner.context)})


def _ad_alone(inner: Unwrapped) -> Content | None:
    """Who presses an ad may send nothing but that: a text without words."""
    texts = (part for name, part in inner.parts.items() if name.lower() == "extendedtextmessage")
    found = next((said for part in texts if (said := said_beside(part, {})).get("referral")), None)
    return Content(data=found) if found else None


def _contents(inner: Unwrapped) -> list[tuple[Any, Content | None]]:
    """What its parts say; one of an unknown kind counts only where no other is known."""
    parts = [(name, name.lower(), part) for name, part in inner.parts.items() if name.lower() not in BESIDE]
    return [(part, _READERS[lowered](part)) for _, lowered, part in parts if lowered in _READERS] or [
        (part, unknown(name, part)) for name, lowered, part in parts if isinstance(part, dict) and not _is_silent(lowered)
    ]


def _is_silent(name: str) -> bool:
    return name in SILENT or name in _SILENT_WRAPPERS or name.startswith(_ENCRYPTED)


# ------------------------------------------------------------------------------------------------ what is said beside


def said_beside(part: Any, beside: Body) -> dict[str, Any]:
    """The message that is answered to, the ad that somebody came from, the album that a picture is of."""
    info = field(part, "contextInfo")
    quoted_id, ad = text(info, "stanzaId"), field(info, "externalAdReply")
    album = text(beside, "messageAssociation", "parentMessageKey", "id")
    return present(
        quoted=quoted(quoted_id, _words_of(field(info, "quotedMessage"))) if quoted_id else None,
        referral=referral(ad) if _is_ad(ad) else None,
        album=album if _is_of_album(beside) else None,
    )


def _words_of(message: Any) -> str:
    content = next(filter(None, (content for _, content in _contents(unwrap(message)))), None)
    return in_words(content.data, content.words) if content else ""


def _is_of_album(beside: Body) -> bool:
    return field(beside, "messageAssociation", "associationType") in (1, "1", "MEDIA_ALBUM")


def _is_ad(value: Any) -> bool:
    """Previews of links, which have neither a source nor a click, are none."""
    return any(text(value, name) for name in ("sourceId", "sourceType", "ctwaClid"))


#: A referral's members as Meta's Cloud API names them, and as WhatsApp Web does.
_OF_ADS = {
    "source_id": ("sourceId",),
    "source_type": ("sourceType",),
    "source_url": ("sourceUrl",),
    "headline": ("title",),
    "body": ("body", "description"),
    "greeting": ("greetingMessageBody",),
    "ctwa_clid": ("ctwaClid",),
}


def referral(ad: Any) -> dict[str, Any]:
    """The ad that somebody comes from."""
    return {name: value for name, theirs in _OF_ADS.items() if (value := first_text(ad, *theirs))}


def _payment(part: Any) -> Content | None:
    """The note with a payment or a request for one; else how much is asked for, or that there was one, which people see."""
    note, amount = read(field(part, "noteMessage")), integer(field(part, "amount1000"))
    if isinstance(note, Content):
        return note
    asked_for = f"💸 {amount / 1000:.2f} {text(part, 'currencyCodeIso4217')}".strip() if amount else ""
    return Content(asked_for) if asked_for else Content(kind=Kind.SYSTEM, label="payment")


#: A payment's note is a message object of its own, whatever kind that is.
_READERS: dict[str, Callable[[Any], Content | None]] = {
    **READERS,
    "sendpaymentmessage": _payment,
    "requestpaymentmessage": _payment,
}
