"""What a reply offers to choose from: `data.choices = [{"id", "title", "description"?}]` of a message.

Each channel shows choices as it can: buttons, a list, chips, or numbered lines of text (`numbered`). What the customer types in
answer, "2" or a title, is understood where messages are saved (choice_named_v2 in schema.sql).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

from shared.payloads import Schema, not_blank

#: Of one reply: a list of WhatsApp has no more.
MAX_CHOICES = 10
#: Characters. WhatsApp's limits of an id and of a description; titles are cut where a channel shows fewer.
MAX_CHOICE_ID, MAX_TITLE, MAX_DESCRIPTION = 200, 60, 72
#: What a cut title does not end with.
_LOOSE_END = " ,.;:-–"


@dataclass(frozen=True)
class Choice:
    """One of them. `id` comes back where a channel reports a tap."""

    id: str
    title: str
    description: str = ""


def _at_most(maximum: int) -> validate.Length:
    return validate.Length(max=maximum, error=f"must have at most {maximum} characters")


class ChoiceSchema(Schema):
    """As a caller gives one."""

    id = fields.String(validate=[not_blank, _at_most(MAX_CHOICE_ID)])
    title = fields.String(required=True, validate=[not_blank, _at_most(MAX_TITLE)])
    description = fields.String(validate=[not_blank, _at_most(MAX_DESCRIPTION)])


def stored(given: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What ChoiceSchema loaded, as a message keeps it; without an id, its number. Raises ValidationError for two alike."""
    choices = [
        {
            "id": " ".join(choice.get("id", str(number)).split()),
            "title": " ".join(choice["title"].split()),
            **({"description": " ".join(choice["description"].split())} if "description" in choice else {}),
        }
        for number, choice in enumerate(given, start=1)
    ]
    for member in ("id", "title"):
        if len({choice[member].casefold() for choice in choices}) < len(choices):
            raise ValidationError(f"must not have two choices with the same {member}", "choices")
    return choices


def choices_in(data: Mapping[str, Any]) -> list[Choice]:
    """The choices of a message's data; none of most messages."""
    return [Choice(one["id"], one["title"], one.get("description", "")) for one in data.get("choices", ())]


def numbered(text: str, choices: Sequence[Choice]) -> str:
    """The text, and a line for each choice, for a channel without buttons."""
    lines = [
        f"{number}. {choice.title}" + (f": {choice.description}" if choice.description else "")
        for number, choice in enumerate(choices, start=1)
    ]
    return "\n".join([text, "", *lines]) if lines else text


def shortened(title: str, limit: int) -> str:
    """A title of at most `limit` characters, cut between words where that leaves most of it."""
    if length(title) <= limit:
        return title
    head = title.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    words = head if title[len(head)] == " " else head.rpartition(" ")[0]
    return (words if length(words) >= limit // 2 else head).rstrip(_LOOSE_END) + "…"


def length(text: str) -> int:
    """Characters as WhatsApp and Telegram count them, UTF-16 units: most emoji are two."""
    return len(text.encode("utf-16-le")) // 2
