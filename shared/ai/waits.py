"""When a provider that takes no more may be asked again: by its headers, by fields of its error, or in words."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from shared.http.pauses import LONGEST, MIN_RETRY_AFTER, PARTS, in_words, retry_after, seconds_of, time_of

_WORDS = re.compile(rf"(?:try again|retry(?:ing)?|wait|resets?)\s(?:again\s)?(?:(?:in|after|for)\s)?(?:about\s)?{PARTS}", re.I)
#: The same in other languages, or in words that might say how long the limit is: in 20 Sekunden, dans 20 secondes, 20 秒后.
_ELSEWHERE = re.compile(
    r"\b(?:in|after|nach|dans|en|em|tra|fra|через|warten sie|espere|attendez) (\d{1,6}(?:\.\d+)?) ?"
    r"(se[kcg]|сек|min|мин|hour|hora|heure|stunde|or[ae]|час)"
    r"|(\d{1,6}) ?(?:个|個)?(秒|분|초|分|小时|小時|時間|시간)(?:钟|鐘|間)? ?(?:之?后|之?後|以降|후|뒤)",
    re.I,
)
#: One of them as people say it: in an hour.
_A_SINGLE = re.compile(r"\b(?:an?|one) (?=(?:second|minute|hour|day)\b)", re.I)
#: When it is over, in words: resets at 2026-11-29 00:00:00 UTC.
_UNTIL = re.compile(
    r"\b(?:at|on|until|after|by):? (\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?(?: UTC)?)", re.I
)
#: A letter as JSON may have it.
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
#: What makes of such words the limit itself: 10 requests in 60 seconds.
_COUNTED = re.compile(r"\d[\d.,]*(?: [^\W\d]+){1,3} \Z")
_SECONDS_ELSEWHERE = {"min": 60.0, "мин": 60.0, "分": 60.0, "분": 60.0, "秒": 1.0, "초": 1.0, "сек": 1.0}
#: "retryDelay": "34s", "quotaResetDelay": "1h16m0.6s", "retry_after": 30, "retry_after_ms": 500, "estimated_time": 20.0 (a model
#: that is being loaded)
_FIELD = re.compile(
    r'"(?:retry[_-]?(?:delay|after)|estimated_time|resets?_in|quotaResetDelay|cooldown|wait)(_?ms|_?seconds)?"'
    r'\s*:\s*"?(\d[\d.dhms]{0,30})(?![\w:-])',
    re.I,
)
#: When it is over: a time in milliseconds among headers that a router hands on (OpenRouter), a date, PT30S.
_UNTIL_FIELD = re.compile(
    r'"(?:x-ratelimit-reset|resets?_?(?:at|time)|retry[_-]?(?:at|after))"\s*:\s*"?(PT[\w.]{2,20}|[^",}]{10,40})', re.I
)
#: reset=50 and t=50 in the header RateLimit, of two drafts of its standard.
_RESET_MEMBER = re.compile(r"\b(?:reset|t)=(\d+)")
#: Gemini names the quota that is used up, and asks for seconds all the same.
_QUOTA_OF_THE_DAY = re.compile(r'"quotaId":\s*"[^"]*PerDay')
#: Limits that are counted from midnight. Tokens of a day come back one by one, and who counts these says when.
_OF_THE_DAY = re.compile(
    r"(requests|models)[ -]per[ -](day|week|month)\b|\b(daily|weekly|monthly) (\w+ )?(limit|quota|allocation|allowance)"
    r"|\b(calls|requests) ?/ ?(day|week|month)\b|\b(tomorrow|morgen|demain|mañana|domani|amanhã|завтра)\b|明天|明日|내일",
    re.I,
)
#: Seconds after which somebody is asked again whose day is over, and who does not say when the next one begins.
NEXT_DAY = 3600.0
#: Characters of an error that are searched.
_SEARCHED = 20_000


def wait_of(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds for which an error asks; None: it does not say."""
    now = time_of(headers.get("Date")) or time.time()
    seconds = _in_headers(headers, now)
    if seconds is None:
        seconds = _in_text(text[:_SEARCHED], now)
    return None if seconds is None else min(LONGEST, max(MIN_RETRY_AFTER, seconds))


def _in_text(text: str, now: float) -> float | None:
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if _QUOTA_OF_THE_DAY.search(text):
        return NEXT_DAY
    text = _A_SINGLE.sub("1 ", text)
    said = [in_words(found[1]) for found in _WORDS.finditer(text)]
    fields = [(0.001 if "ms" in unit.lower() else 1.0, seconds_of(value.lower(), now)) for unit, value in _FIELD.findall(text)]
    said += [share * seconds for share, seconds in fields if seconds is not None]
    dates = (*_UNTIL_FIELD.findall(text), *_UNTIL.findall(text))
    said += [wait for date in dates if (wait := seconds_of(date, now)) is not None]
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
        seconds = retry_after(headers.get(name), math.nan, headers.get("Date"))
        if not math.isnan(seconds):
            return seconds * share
    return _of_limits(headers, now)


def _of_limits(headers: Mapping[str, str], now: float) -> float | None:
    """When the limits that are used up begin anew: x-ratelimit-reset-requests, anthropic-ratelimit-tokens-reset, RateLimit."""
    resets = {name: value for name, value in headers.items() if "ratelimit" in name.lower() and "reset" in name.lower()}
    left = {name: headers.get(re.sub("reset", "remaining", name, flags=re.I)) for name in resets}
    used_up = [name for name in resets if left[name] == "0" or (len(resets) == 1 and left[name] is None)]
    waits = [wait for name in used_up if (wait := seconds_of(resets[name], now)) is not None]
    if member := _RESET_MEMBER.search(headers.get("RateLimit", "")):
        waits.append(float(member[1]))
    return max(waits, default=None)


def _unit_elsewhere(word: str) -> float:
    word = word.lower()
    return _SECONDS_ELSEWHERE.get(word, 1.0 if word.startswith("s") else 3600.0)
