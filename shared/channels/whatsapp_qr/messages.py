"""What becomes of a message object in every dialect: who wrote it, in which chat, and what it says, as an inbound item."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from shared.channels.inbound import (
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    MalformedItem,
)
from shared.channels.kinds import Author, Kind
from shared.channels.whatsapp_qr.content import Content, Edit, Reaction, Reading, Revoke
from shared.channels.words import in_words

#: Groups, broadcasts, channels, calls, Meta's AI: a chatbot answers single persons only.
_CROWDS = ("@g.us", "@broadcast", "@newsletter", "@call", "@bot")
#: WhatsApp itself, which tells people of their account.
_OFFICIAL = frozenset({"0@c.us", "0@s.whatsapp.net"})
#: One of several phones of a person: 4915112345:7@s.whatsapp.net.
_DEVICE = re.compile(r":\d+(?=@)")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What a gateway writes around a message."""

    raw: Any
    chat_id: str
    external_id: str
    from_me: bool
    sent_at: float | None = None
    profile_name: str = ""
    identities: tuple[str, ...] = ()


#: How WhatsApp calls people whose phone is in Meta's cloud, and what they are to everybody else.
_HOSTED = {"@hosted": "@s.whatsapp.net", "@hosted.lid": "@lid"}


def address(name: str) -> str:
    """A chat id without the number of a person's device, or what else says where that is."""
    person, at, server = _DEVICE.sub("", name).partition("@")
    return person + _HOSTED.get(at + server, at + server)


def is_nobodys(chat_id: str) -> bool:
    """Whether a chat is no single person's, or WhatsApp's own."""
    return chat_id.endswith(_CROWDS) or chat_id in _OFFICIAL


def identities(chat_id: str, *names: str) -> tuple[str, ...]:
    """The other names of a chat's person among these, each once."""
    full = (f"{name}@s.whatsapp.net" if name.isdecimal() else name for name in names)
    others = {address(name): None for name in full if "@" in name and not is_nobodys(name)}
    return tuple(name for name in others if name != chat_id)


def inbound_item(envelope: Envelope, reading: Reading) -> InboundItem:
    """The item that a message is. What the business's own people write on the phone is one, and what they do to it; but no
    reactions of theirs."""
    raw, chat_id = envelope.raw, envelope.chat_id
    if is_nobodys(chat_id) or reading is None:
        return IgnoredItem(raw=raw)
    if not isinstance(reading, Content):
        return _change(envelope, reading) or IgnoredItem(raw=raw)
    if envelope.from_me and _says_nothing_to_the_customer(reading):
        return IgnoredItem(raw=raw)
    if not chat_id or not envelope.external_id:
        return MalformedItem(raw=raw, reason="A message has no " + ("id." if chat_id else "chat."))
    return _message(envelope, reading)


def _says_nothing_to_the_customer(content: Content) -> bool:
    """Whether it is a vote, an answer to an invitation, an ad without a word: a colleague's takes no conversation over."""
    is_an_ad_alone = not content.words and content.data.keys() == {"referral"}
    return is_an_ad_alone or "vote" in content.data or "answer" in content.data.get("event", {})


def _change(envelope: Envelope, change: Edit | Revoke | Reaction) -> InboundItem | None:
    """What was done to an earlier message: the one that is named, or that whose event it is."""
    raw, chat_id = envelope.raw, envelope.chat_id
    match change:
        case Edit(original_id, content) if target := original_id or envelope.external_id:
            return _edit(envelope, target, content)
        case Revoke(original_id) if target := original_id or envelope.external_id:
            return InboundRevoke(
                raw=raw, original_id=target, external_user_id=chat_id, identities=envelope.identities, author=_author(envelope)
            )
        case Reaction(message_id, emoji) if message_id and not envelope.from_me:
            return InboundReaction(raw=raw, message_id=message_id, emoji=emoji, external_user_id=chat_id)
    return None


def _edit(envelope: Envelope, original_id: str, content: Content) -> InboundEdit | None:
    message = _message(envelope, content)
    if "unsupported" in message.metadata:
        return None
    alone = message if envelope.chat_id and envelope.external_id else None
    return InboundEdit(
        raw=envelope.raw,
        original_id=original_id,
        content=message.content,
        sent_at=envelope.sent_at,
        message=alone,
        author=_author(envelope),
    )


def _author(envelope: Envelope) -> Author:
    return Author.COLLEAGUE if envelope.from_me else Author.CUSTOMER


def _message(envelope: Envelope, content: Content) -> InboundMessage:
    """One without words has a label in their place, and gets the polite answer (chatbot.unsupported_message)."""
    words = in_words(content.data, content.words)
    metadata = {"profile_name": envelope.profile_name}
    if not words or content.kind is Kind.MEDIA:
        metadata["attachment" if words else "unsupported"] = content.label
    return InboundMessage(
        raw=envelope.raw,
        external_user_id=envelope.chat_id,
        content=words or f"[{content.label}]",
        external_id=envelope.external_id,
        metadata={name: value for name, value in metadata.items() if value},
        kind=content.kind,
        sent_at=envelope.sent_at,
        data=content.data,
        media=content.media,
        identities=envelope.identities,
        author=_author(envelope),
    )
