"""How long somebody asks to be left alone: a Retry-After, in each of the forms in which servers write it."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The least that a Retry-After is honoured with. `Retry-After: 0` waits too: a snoozed job costs no attempt and would loop.
MIN_RETRY_AFTER = 1.0
#: Seconds beyond which a wait is nonsense.
LONGEST = 30 * 86_400.0
#: A number of seconds that is a time: some send when, and not how long.
_A_TIME = 1e9
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e\d+)?", re.I)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: 14m24.5s, 250ms, 34 seconds, 1 hour
_PART = r"(\d+(?:\.\d+)?)\s?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
PARTS = rf"((?:{_PART}(?:,?\s(?:and\s)?)?)+)"
#: The same without anything between its parts: 6m0s
_TIGHT = r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+"
#: The same by ISO 8601, whose M is a month or a minute: PT1M30S.
_ISO = re.compile(r"P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:[.,]\d+)?S)?)?", re.I)


def retry_after(header: str | None, default: float, date: str | None = None) -> float:
    """Seconds that a Retry-After asks for, at least MIN_RETRY_AFTER; `default` if it is missing, nonsense or over.

    It may be a number, a duration, a date or a Unix time, by the server's clock: `date` is what its header of that name says. Of
    two headers, which arrive as a list, the longer one counts.
    """
    said, now = header or "", time_of(date) or time.time()
    waits = [wait for one in (said, *said.split(",")) if (wait := _seconds(one.strip(' "'), now)) is not None]
    return max(waits, default=default)


def _seconds(said: str, now: float) -> float | None:
    seconds = seconds_of(said, now)
    if seconds is None or (seconds <= 0 and not _NUMBER.fullmatch(said)):
        return None
    return min(LONGEST, max(MIN_RETRY_AFTER, seconds))


def seconds_of(said: str, now: float) -> float | None:
    """Seconds from a text: 30, 6m0s, PT30S, a time in seconds or milliseconds, a date; None if it is none, or such a time is
    over."""
    if _NUMBER.fullmatch(said):
        number = float(said)
        if number < _A_TIME or not math.isfinite(number):
            return number if math.isfinite(number) else None
        seconds = (number / 1000 if number >= 1000 * _A_TIME else number) - now
    elif re.fullmatch(PARTS, said, re.I) or re.fullmatch(_TIGHT, said, re.I):
        seconds = in_words(said)
    elif len(said) > 2 and _ISO.fullmatch(said):
        seconds = in_words(re.sub("[PT]", "", said, flags=re.I).replace(",", "."))
    else:
        until = time_of(said)
        seconds = until - now if until else 0.0
    return seconds if seconds > 0 else None


def in_words(words: str) -> float:
    """Seconds of a duration with its units."""
    return sum(float(number) * _unit(unit.lower()) for number, unit in re.findall(_PART, words, re.I))


def _unit(word: str) -> float:
    return _SECONDS["ms" if word.startswith(("ms", "mil")) else word[0]]


def time_of(date: str | None) -> float | None:
    """A date in either form, as Unix time; in UTC, if it names no zone."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read((date or "").strip().removesuffix(" UTC"))
        except (ValueError, TypeError, OverflowError):
            continue
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None
