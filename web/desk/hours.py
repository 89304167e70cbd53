"""Opening hours in a form: a line for each day, as people write it."""

from __future__ import annotations

import re

from marshmallow import ValidationError

from shared.teaching.hours import DAYS, opening_hours_field
from web.desk import forms

_TIME = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(?:\s*uhr)?", re.I)


def read(form: forms.Form, _name: str) -> dict[str, list[list[str]]] | None:
    """The days that have hours; null if none has."""
    return {day: _spans(line) for day, line in written(form).items() if line} or None


def written(form: forms.Form) -> dict[str, str]:
    """Each day's line, as it was written."""
    return {day: forms.text(form, f"hours-{day}") for day in DAYS}


def unreadable(form: forms.Form) -> set[str]:
    """The days whose line is refused."""
    return {day for day, line in written(form).items() if line and not _is_taken(day, line)}


def _is_taken(day: str, line: str) -> bool:
    try:
        opening_hours_field().deserialize({day: _spans(line)})
    except ValidationError:
        return False
    return True


def _spans(line: str) -> list[list[str]]:
    """9-12, 13:00-17.30: pairs of 09:00. What is no time stays, for the schema to refuse."""
    return [[_clock(time.strip()) for time in span.replace("–", "-").split("-")] for span in line.split(",")]


def _clock(time: str) -> str:
    match = _TIME.fullmatch(time)
    return f"{match[1]:>02}:{match[2] or '00'}" if match else time
