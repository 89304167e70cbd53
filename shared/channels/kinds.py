"""What messages are, who writes them, and what files they come with. Pure data, so that payloads may ask it as well."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a message is. Its `data` holds what kinds but TEXT and MEDIA are made of, as the API shows it."""

    TEXT = "text"
    MEDIA = "media"
    CHOICE = "choice"
    LOCATION = "location"
    CONTACT = "contact"
    ORDER = "order"
    FORM = "form"
    POLL = "poll"
    SYSTEM = "system"


class Effect(StrEnum):
    """What a kind does."""

    ANSWERED = "kept, and the bot answers it"
    CONTEXT = "kept; the model reads it with the customer's next message"
    SILENT = "kept for people; the model never reads it"


#: What each kind of message does. Edits, deletions and reactions are no messages of their own: they are applied to an earlier one
#: (shared/channels/changes.py). Nothing is answered that is older than ANSWER_WITHIN, or that came from a group.
EFFECTS: dict[Kind, Effect] = {
    Kind.TEXT: Effect.ANSWERED,
    Kind.MEDIA: Effect.ANSWERED,
    Kind.CHOICE: Effect.ANSWERED,
    Kind.LOCATION: Effect.ANSWERED,
    Kind.CONTACT: Effect.ANSWERED,
    Kind.ORDER: Effect.ANSWERED,
    Kind.FORM: Effect.ANSWERED,
    Kind.POLL: Effect.CONTEXT,
    Kind.SYSTEM: Effect.SILENT,
}


class Author(StrEnum):
    """Who wrote a message that came in: the customer, or a person of the business, on the phone for example."""

    CUSTOMER = "customer"
    COLLEAGUE = "colleague"


class MediaKind(StrEnum):
    """What a file is to those who talk: a voice note is answered, a sticker hardly."""

    IMAGE = "image"
    VOICE = "voice"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
