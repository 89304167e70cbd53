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
