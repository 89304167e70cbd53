"""Kinds of settings that the environment has as text: rates, durations, schedules, addresses, keys. What each may look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from environs import ValidationError

from shared import database_url, redis_url
from shared.setting_checks import has_valid_port

#: Up to 99,999 times in up to 9,999 seconds, minutes or hours: Redis keeps an entry for each time.
_RATE = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,3})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
#: The most steps of a redelivery schedule, and the seconds of one; schema.sql says the same.
MAX_REDELIVERIES, MAX_REDELIVERY_DELAY = 20, 7 * 86_400
#: 32 bytes of base64. Fernet itself skips what is not base64, and would take two keys with a space in between for the first.
_FERNET_KEY = re.compile(r"[A-Za-z0-9_/+-]{43}=")
_NEW_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


@dataclass(frozen=True)
class Rate:
    """`limit` times in any `window` seconds."""

    limit: int
    window: int
    text: str

    def __str__(self) -> str:
        return self.text


def parse_rate(text: str) -> Rate | None:
    """The rate that a setting says, None for no limit. Raises ValidationError."""
    if not text:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValidationError("Must be a count and a time, like 10/1s, 600/1m or 5000/1h, or empty for no limit.")
    return Rate(int(match[1]), int(match[2]) * _SECONDS[match[3]], text)


def _parse_duration(text: str) -> int:
    """Seconds. Raises ValidationError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValidationError("Must be a time like 90s, 30m, 24h or 7d.")
    return int(match[1]) * (_SECONDS | {"d": 86_400})[match[2]]


def _parse_schedule(text: str) -> tuple[int, ...]:
    """Seconds, for each of up to 20 times. Raises ValidationError."""
    times = tuple(_parse_duration(time) for time in text.replace(",", " ").split())
    if len(times) > MAX_REDELIVERIES or any(time > MAX_REDELIVERY_DELAY for time in times):
        raise ValidationError(f"Must be up to {MAX_REDELIVERIES} times of at most 7d each, like 5m,30m,2h, or empty for none.")
    return times


def _parse_size(text: str, may_be_empty: bool = True) -> str:
    # Nothing but spaces is not empty to the Procfile's shell, and leaves an option without its value.
    if not (may_be_empty and not text) and not re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()):
        raise ValidationError(
            "Must be a whole number from 1 to 99999" + (", or empty for the Procfile's own." if may_be_empty else ".")
        )
    return text


def _parse_port(text: str) -> str:
    if text and not (re.fullmatch(r"[1-9][0-9]{0,4}", text) and int(text) <= 65_535):
        raise ValidationError("Must be a port, a whole number from 1 to 65535, or empty for the Procfile's own.")
    return text


def _parse_credentials_key(text: str) -> str:
    keys = [key.strip() for key in text.split(",")]
    for number, key in enumerate(keys, 1):
        if not _FERNET_KEY.fullmatch(key):
            which = f"key {number} of {len(keys)} is not one" if len(keys) > 1 else "this is not one"
            raise ValidationError(
                f"Must be a Fernet key, or several, the newest first, separated by commas; {which}. Make one with: {_NEW_KEY}"
            )
    return ",".join(keys)


def _check_database_url(url: str) -> str:
    try:
        return database_url.check(url)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None


def _parse_reply_limit(text: str) -> Rate | None:
    """A rate that workers/ai.sql can see: it reads no more replies than that. Raises ValidationError."""
    rate = parse_rate(text)
    if rate is not None and not (5 <= rate.limit <= 100 and rate.window <= _SECONDS["h"]):
        raise ValidationError("Must be 5 to 100 replies in at most an hour, like 60/10m, or empty for no limit.")
    return rate


def _with_plain_scheme(url: str) -> str:
    """Its scheme in lower case, which is how it is compared everywhere: to RFC 3986 HTTPS:// is the same."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.lower()}{separator}{rest}" if separator else url


def _parse_http_url(url: str, *, validate: Callable[[str], Any]) -> str:
    """Without a slash at its end, for paths are added to it: gateways know no //api/sessions."""
    url = _with_plain_scheme(url).rstrip("/")
    validate(url)
    return url


def _parse_smtp_url(url: str) -> str:
    url = _with_plain_scheme(url)
    if url and not (re.fullmatch(r"smtps?://[^\s/]+/?", url) and has_valid_port(url)):
        raise ValidationError("Must be a URL like smtp://user:password@mail.example:587, or empty for no e-mail.")
    return url


def _parse_redis_url(url: str, host: str) -> str:
    if not url and not host:
        raise ValidationError("Not set, and REDIS_HOST is not set either. Set one, for example redis://host:6379/0.")
    # valkey:// and valkeys:// are what services that run Valkey give; redis-py knows the older names alone.
    url = re.sub(r"\Avalkey(?=s?://)", "redis", _with_plain_scheme(url))
    try:
        if url:
            redis_url.check(url)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None
    return url


#: What `env.<name>(…)` of shared/config.py reads.
PARSERS: dict[str, Callable[..., Any]] = {
    "rate": parse_rate,
    "reply_limit": _parse_reply_limit,
    "duration": _parse_duration,
    "schedule": _parse_schedule,
    "database_url": _check_database_url,
    "redis_url": _parse_redis_url,
    "http_url": _parse_http_url,
    "smtp_url": _parse_smtp_url,
    "credentials_key": _parse_credentials_key,
    "size": _parse_size,
    "port": _parse_port,
}
