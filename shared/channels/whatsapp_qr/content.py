"""What a message of a phone says, in all dialects: words and files, what was chosen, a place, cards, an order; or what it does to
an earlier message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any

from shared.channels import vcards
from shared.channels.inbound import Media, get_time, present
from shared.channels.kinds import Kind
from shared.channels.words import in_words


@dataclass(frozen=True)
class Content:
    """What somebody wrote or sent.

    `words` are what was typed; `data` is what else there is (shared/channels/words.py); `label` says what it is without any.
    """

    words: str = ""
    kind: Kind = Kind.TEXT
    label: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    media: tuple[Media, ...] = ()


@dataclass(frozen=True)
class Edit:
    """An earlier message says something else now; `original_id` "": it is the one whose event this is."""

    original_id: str
    content: Content


@dataclass(frozen=True)
class Revoke:
    """An earlier message was deleted; `original_id` as of an edit."""

    original_id: str


@dataclass(frozen=True)
class Reaction:
    """An emoji was put on a message, or ("") taken back."""

    message_id: str
    emoji: str


#: None: something that nobody waits for an answer to.
Reading = Content | Edit | Revoke | Reaction | None


def choice(title: str, choice_id: str = "", description: str = "") -> Content | None:
    """What somebody chose from buttons or a list; None if it says nothing."""
    chosen = present(id=choice_id, title=title, description=description)
    return Content(kind=Kind.CHOICE, data={"choice": chosen}) if chosen else None


def location(latitude: Any, longitude: Any, words: str = "", **more: str) -> Content:
    """A place, with what was typed with it; `more`: name, address, url."""
    place = present(latitude=_degrees(latitude), longitude=_degrees(longitude), **more)
    return Content(words, Kind.LOCATION, "location", {"location": place} if place else {})


def _degrees(value: Any) -> float | None:
    """None of what is no number, such as the text "NaN", which cannot be stored."""
    try:
        degrees = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else nan
    except (ValueError, OverflowError):
        return None
    return degrees if isfinite(degrees) else None


def contacts(cards: list[tuple[str, str]]) -> Content:
    """Contact cards: of each the name that is shown, and the vCard."""
    read = [card for name, vcard in cards if (card := vcards.read(name, vcard))]
    return Content("", Kind.CONTACT, "contact", {"contacts": read} if read else {})


def order(note: str, order_id: str, title: str, item_count: int | None, **more: Any) -> Content:
    """An order, with the note that was typed with it; `more`: total, currency. Gateways know its title, and no single items."""
    items = [present(name=title, quantity=item_count)] if title or item_count else []
    details = present(note=note, id=order_id, items=items, **more)
    return Content("", Kind.ORDER, "order", {"order": details} if details else {})


def product(question: str, **more: Any) -> Content:
    """A product of the catalogue, with what somebody asks about it; `more`: id, title, description, price, currency, url."""
    details = present(**more)
    return Content(question, Kind.TEXT, "product", {"product": details} if details else {})


def event(name: str, description: str, place: str, starts_at: int | None) -> Content:
    """An invitation to an event; `starts_at`: Unix seconds."""
    seconds = get_time(starts_at)
    start = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds else ""
    return Content(label="event", data={"event": present(name=name, description=description, start=start, place=place)})


def event_answer(answer: str, event_id: str) -> Content:
    """What somebody answered to an invitation: GOING, NOT_GOING, MAYBE."""
    quoted = {"quoted": {"id": event_id}} if event_id else {}
    return Content("", Kind.POLL, "event", {"event": present(answer=answer.replace("_", " ").lower()), **quoted})


def poll(question: str, options: list[str]) -> Content:
    """A poll."""
    return Content("", Kind.POLL, "poll", {"poll": present(question=question, options=options)})


def vote(question: str, options: list[str], poll_id: str = "") -> Content:
    """What somebody chose in a poll, which a colleague has sent, perhaps: the vote replies to it."""
    quoted = {"quoted": {"id": poll_id}} if poll_id else {}
    return Content("", Kind.POLL, "vote", {"vote": present(question=question, options=options), **quoted})


def form(words: str, name: str, answers: dict[str, Any]) -> Content:
    """A form that was filled in; its words say no more than that it was sent."""
    data = {"form": present(name=name, answers=answers)}
    return Content("" if in_words(data) else words, Kind.FORM, "form", data)


def with_source(content: Content, source: dict[str, Any]) -> Content:
    """The content, whose files are fetched from there."""
    return replace(content, media=tuple(replace(file, source=source) for file in content.media))
