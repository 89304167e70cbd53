"""When a provider that takes no more may be asked again: by its headers, by fields of its error, or in words."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from shared.http import retry_after
from shared.http.client import A_TIME, MIN_RETRY_AFTER

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: 14m24.5s, 250ms, 34 seconds, 1 hour
_PART = r"(\d+(?:\.\d+)?)\s?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
#: The same without anything between its parts: 6m0s
_TIGHT = r"\d+(?:\.\d+)?(?:ms|s|m|h|d)"
_PARTS = rf"((?:{_PART}(?:,?\s(?:and\s)?)?)+)"
_WORDS = re.compile(rf"(?:try again|retry(?:ing)?|wait|resets?)\s(?:again\s)?(?:(?:in|after|for)\s)?(?:about\s)?{_PARTS}", re.I)
#: The same in other languages, or in words that might say how long the limit is: in 20 Sekunden, dans 20 secondes, 20 秒后.
_ELSEWHERE = re.compile(
    r"\b(?:in|after|nach|dans|en|em|tra|fra|через) (\d{1,6}(?:\.\d+)?) ?(se[kcg]|сек|min|мин|hour|hora|heure|stunde|or[ae]|час)"
    r"|(\d{1,6}) ?(秒|분|초|分)(?:钟|鐘|間)? ?(?:之?后|之?後|후|뒤)",
    re.I,
)
#: A letter as JSON may have it.
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
#: What makes of such words the limit itself: 10 requests in 60 seconds.
_COUNTED = re.compile(r"\d[\d.,]*(?: [^\W\d]+){1,3} \Z")
_SECONDS_ELSEWHERE = {"min": 60.0, "мин": 60.0, "分": 60.0, "분": 60.0, "秒": 1.0, "초": 1.0, "сек": 1.0}
#: "retryDelay": "34s", "retry_after": 30, "retry_after_ms": 500, "estimated_time": 20.0 (a model that is being loaded)
_FIELD = re.compile(r'"(?:retry[_-]?(?:delay|after)|estimated_time)(_?ms|_?seconds)?"\s*:\s*"?(\d+(?:\.\d+)?)s?"?', re.I)
#: Headers in an error that a router hands on (OpenRouter): a time in milliseconds.
_RESET_FIELD = re.compile(r'"x-ratelimit-reset"\s*:\s*"?(\d{10,13})\b', re.I)
#: reset=50 and t=50 in the header RateLimit, of two drafts of its standard.
_RESET_MEMBER = re.compile(r"\b(?:reset|t)=(\d+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e\d+)?")
#: Gemini names the quota that is used up, and asks for seconds all the same.
_QUOTA_OF_THE_DAY = re.compile(r'"quotaId":\s*"[^"]*PerDay')
#: Limits that are counted from midnight. Tokens of a day come back one by one, and who counts these says when.
_OF_THE_DAY = re.compile(
    r"(requests|models)[ -]per[ -](day|week|month)\b|\b(daily|weekly|monthly) (\w+ )?(limit|quota|allocation|allowance)"
    r"|\b(calls|requests) ?/ ?(day|week|month)\b",
    re.I,
)
#: Seconds after which somebody is asked again whose day is over, and who does not say when the next one begins.
NEXT_DAY = 3600.0
#: Characters of an error that are searched, and seconds beyond which a wait is nonsense.
_SEARCHED, _LONGEST = 20_000, 30 * 86_400.0


def wait_of(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds for which an error asks; None: it does not say."""
    now = _time_of(headers.get("Date")) or time.time()
    seconds = _in_headers(headers, now)
    if seconds is None:
        seconds = _in_text(text[:_SEARCHED], now)
    return None if seconds is None else min(_LONGEST, max(MIN_RETRY_AFTER, seconds))


def _in_text(text: str, now: float) -> float | None:
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if _QUOTA_OF_THE_DAY.search(text):
        return NEXT_DAY
    said = [_in_words(found[1]) for found in _WORDS.finditer(text)]
    said += [float(number) * (0.001 if "ms" in (unit or "").lower() else 1) for unit, number in _FIELD.findall(text)]
    said += [wait for found in _RESET_FIELD.findall(text) if (wait := _seconds(found, now)) is not None]
    said = said or [
        float(found[1] or found[3]) * _unit_elsewhere(found[2] or found[4])
        for found in _ELSEWHERE.finditer(text)
        if not _COUNTED.search(text, max(0, found.start() - 60), found.start())
    ]
    if said:
        return max(said)
    return NEXT_DAY if _OF_THE_DAY.search(text) else None


def _in_headers(headers: Mapping[str, str], now: float) -> float | None:
    for name, share in (("Retry-After", 1.0), ("Retry-After-Ms", 0.001), ("X-Ms-Retry-After-Ms", 0.001)):  # Azure's
        said = headers.get(name, "")
        seconds = retry_after(said, math.nan, headers.get("Date"))
        if math.isnan(seconds):
            wait = _seconds(said, now)
            seconds = math.nan if wait is None else wait
        if not math.isnan(seconds):
            return seconds * share
    return _of_limits(headers, now)


def _of_limits(headers: Mapping[str, str], now: float) -> float | None:
    """When the limits that are used up begin anew: x-ratelimit-reset-requests, anthropic-ratelimit-tokens-reset, RateLimit."""
    resets = {name: value for name, value in headers.items() if "ratelimit" in name.lower() and "reset" in name.lower()}
    left = {name: headers.get(re.sub("reset", "remaining", name, flags=re.I)) for name in resets}
    used_up = [name for name in resets if left[name] == "0" or (len(resets) == 1 and left[name] is None)]
    waits = [wait for name in used_up if (wait := _seconds(resets[name], now)) is not None]
    if member := _RESET_MEMBER.search(headers.get("RateLimit", "")):
        waits.append(float(member[1]))
    return max(waits, default=None)


def _seconds(said: str, now: float) -> float | None:
    """Seconds from a header's value: 30, 6m0s, a time in seconds or milliseconds, a date; None if it is over, or nonsense."""
    said = said.strip()
    if _NUMBER.fullmatch(said):
        seconds = float(said)
        seconds = seconds / 1000 if seconds >= 1000 * A_TIME else seconds
        seconds = seconds - now if seconds >= A_TIME else seconds
    elif re.fullmatch(_PARTS, said, re.I) or re.fullmatch(rf"(?:{_TIGHT})+", said, re.I):
        seconds = _in_words(said)
    else:
        until = _time_of(said)
        seconds = until - now if until else 0.0
    return seconds if seconds > 0 or said == "0" else None


def _time_of(date: str | None) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(date or "")
        except (ValueError, TypeError, OverflowError):
            continue
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None


def _in_words(words: str) -> float:
    return sum(float(number) * _unit(unit.lower()) for number, unit in re.findall(_PART, words, re.I))


def _unit(word: str) -> float:
    return _SECONDS["ms" if word.startswith(("ms", "mil")) else word[0]]


def _unit_elsewhere(word: str) -> float:
    word = word.lower()
    return _SECONDS_ELSEWHERE.get(word, 1.0 if word.startswith("s") else 3600.0)
