"""When people of a business are there: its opening hours, in its time zone. opens_at_v1 in schema.sql reads them."""

from __future__ import annotations

import zoneinfo
from functools import cache
from itertools import pairwise
from typing import Any

from marshmallow import ValidationError, fields, validate

#: As PostgreSQL's to_char names them.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Openings of one day.
MAX_SPANS = 8
#: Zones that PostgreSQL takes for abbreviations of one offset: their summer would be an hour off.
_WITHOUT_SUMMER = ("CET", "EET", "MET", "WET")
_CLOCK = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"


class _Spans(fields.List[Any]):
    """The openings of one day: [["09:00", "12:00"], ["13:00", "17:30"]]."""

    def __init__(self) -> None:
        time = fields.String(validate=validate.Regexp(_CLOCK, error="must be a time, such as 09:00"))
        span = fields.List(time, validate=validate.Length(equal=2, error='must be two times, such as ["09:00", "17:30"]'))
        super().__init__(span, validate=validate.Length(1, MAX_SPANS, error=f"must have 1 to {MAX_SPANS} openings"))

    def _deserialize(self, *given: Any, **options: Any) -> list[Any]:
        spans: list[Any] = super()._deserialize(*given, **options) or []
        times = [time for span in spans for time in span]
        if all(len(span) == 2 for span in spans) and any(a >= b for a, b in pairwise(times)):
            raise ValidationError("times of a day must follow each other; what goes on after midnight belongs to the next day")
        return spans


def opening_hours_field() -> fields.Dict:
    """The field of a chatbot."""
    about = 'When people are there, by day, mon to sun: {"mon": [["09:00", "17:30"]]}; a day not named is closed; null: always.'
    return fields.Dict(
        keys=fields.String(validate=validate.OneOf(DAYS, error="days are " + ", ".join(DAYS))),
        values=_Spans(),
        allow_none=True,
        validate=validate.Length(1, error="must name at least one day; null: always open"),
        error_messages={"invalid": 'must be an object, such as {{"mon": [["09:00", "17:30"]]}}'},  # marshmallow formats it
        metadata={"description": about, "minProperties": 1},
    )


@cache
def time_zones() -> frozenset[str]:
    """Their names, as IANA has them, and PostgreSQL; `localtime` is a file of this machine."""
    return frozenset(zoneinfo.available_timezones() - {"localtime", *_WITHOUT_SUMMER})


@cache
def time_zone_choices() -> list[str]:
    """Those that people choose from: UTC and the places, without the names of former times, such as US/Pacific or Etc/GMT+5."""
    former = ("Etc/", "US/", "Canada/", "Brazil/", "Chile/", "Mexico/", "SystemV/", "posix/", "right/")
    return ["UTC", *sorted(name for name in time_zones() if "/" in name and not name.startswith(former))]


def _exists(name: str) -> None:
    if name not in time_zones():
        raise ValidationError("must be a time zone, such as Europe/Berlin")


def time_zone_field() -> fields.String:
    """The field of a chatbot."""
    return fields.String(
        validate=_exists,
        error_messages={"invalid": "must be a text", "null": "must not be null"},
        metadata={"description": "Of its opening hours, such as Europe/Berlin.", "examples": ["UTC", "Europe/Berlin"]},
    )
