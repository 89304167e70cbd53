"""When a provider that takes no more may be asked again: by its headers, by fields of its error, or in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from shared.http import retry_after
from shared.http.client import MIN_RETRY_AFTER

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: 14m24.5s, 250ms, 34 seconds, 1 hour
_PART = r"(\d+(?:\.\d+)?)\s?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_PARTS = rf"((?:{_PART}(?:,?\s(?:and\s)?)?)+)"
_WORDS = re.compile(rf"(?:try again|retry(?:ing)?|wait|resets?)\s(?:again\s)?(?:(?:in|after|for)\s)?(?:about\s)?{_PARTS}", re.I)
#: "retryDelay": "34s", "retry_after": 30, "retry_after_ms": 500
_FIELD = re.compile(r'"retry_?(?:delay|after)(_?ms|_?seconds)?"\s*:\s*"?(\d+(?:\.\d+)?)s?"?', re.I)
#: Gemini names the quota that is used up, and asks for seconds all the same.
_QUOTA_OF_THE_DAY = re.compile(r'"quotaId":\s*"[^"]*PerDay')
#: Limits that are counted from midnight. Tokens of a day come back one by one, and who counts these says when.
_OF_THE_DAY = re.compile(r"(requests|models)[ -]per[ -](day|week|month)\b|\b(daily|weekly|monthly) (\w+ )?(limit|quota)", re.I)
#: Seconds after which somebody is asked again whose day is over, and who does not say when the next one begins.
NEXT_DAY = 3600.0
#: Characters of an error that are searched, and seconds beyond which a wait is nonsense.
_SEARCHED, _LONGEST = 20_000, 30 * 86_400.0


def wait_of(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds for which an error asks; None: it does not say."""
    seconds = _in_headers(headers)
    if seconds is None:
        seconds = _in_text(text[:_SEARCHED])
    return None if seconds is None else min(_LONGEST, max(MIN_RETRY_AFTER, seconds))


def _in_text(text: str) -> float | None:
    if _QUOTA_OF_THE_DAY.search(text):
        return NEXT_DAY
    said = [_in_words(found[1]) for found in _WORDS.finditer(text)]
    said += [float(number) * (0.001 if "ms" in (unit or "").lower() else 1) for unit, number in _FIELD.findall(text)]
    if said:
        return max(said)
    return NEXT_DAY if _OF_THE_DAY.search(text) else None


def _in_headers(headers: Mapping[str, str]) -> float | None:
    seconds = retry_after(headers.get("Retry-After"), math.nan, headers.get("Date"))
    if math.isnan(seconds):  # Azure's
        seconds = retry_after(headers.get("Retry-After-Ms"), math.nan) / 1000
    return None if math.isnan(seconds) else seconds


def _in_words(words: str) -> float:
    return sum(float(number) * _unit(unit.lower()) for number, unit in re.findall(_PART, words, re.I))


def _unit(word: str) -> float:
    return _SECONDS["ms" if word.startswith(("ms", "mil")) else word[0]]
