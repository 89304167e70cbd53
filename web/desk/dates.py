"""Times and counts as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from babel.dates import format_date, format_datetime, format_time, format_timedelta
from flask_babel import format_decimal, format_number, get_locale

#: Counting goes so far; beyond it a page says "10,000+".
COUNTED = 10_000


def since(moment: datetime) -> str:
    """How long ago: "5 minutes ago"."""
    return format_timedelta(moment - datetime.now(UTC), granularity="second", add_direction=True, locale=get_locale() or "en")


def exact(moment: datetime) -> str:
    """The time itself, in UTC; the page's script shows it in the reader's own."""
    return format_datetime(moment, "medium", tzinfo=UTC, locale=get_locale() or "en") + " UTC"


def day(moment: datetime) -> str:
    """Of a message: "Thursday, 26 November"."""
    return format_date(moment, "full", locale=get_locale() or "en")


def month(of: str) -> str:
    """A month as budgets have it, "2026-11": "November 2026"."""
    return format_date(date.fromisoformat(f"{of}-01"), "LLLL y", locale=get_locale() or "en")


def clock(moment: datetime) -> str:
    """The time of day, in UTC; the page's script shows it in the reader's own zone."""
    return format_time(moment, "short", tzinfo=UTC, locale=get_locale() or "en")


def duration(seconds: float | None) -> str:
    """How long something took: 40 ms, 1.2 s, 3 min, 2 h, 5 d."""
    if seconds is None:
        return "–"
    for limit, unit, size in ((1, "ms", 0.001), (90, "s", 1), (5_400, "min", 60), (129_600, "h", 3_600)):
        if seconds < limit:
            tenths = unit == "s" and seconds < 10
            return f"{format_decimal(seconds / size, '0.0' if tenths else '0')} {unit}"
    return f"{format_decimal(seconds / 86_400, '0')} d"


def counted(number: int) -> str:
    """A count, exact up to 10,000."""
    return str(format_number(min(number, COUNTED))) + ("+" if number > COUNTED else "")
