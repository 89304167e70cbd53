"""The scheduler: how its process starts, and when its jobs last ran. One that is dead fails nothing, so nobody would notice."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.broker import suitability
from shared.broker.connection import redis_now_ms
from shared.broker.last_time import LastTime
from shared.broker.redis_broker import get_broker

#: Seconds without any of them after which something is wrong; some are due each minute.
LATE = 300

_last = LastTime("scheduled-at")


def start() -> None:
    """What periodiq calls first: ends its process where no worker would start. Redis is all that it speaks to."""
    suitability.check_address()


def now() -> datetime:
    """By Redis' clock: those who send and those who do the work may be on machines whose clocks differ. Raises RedisError."""
    return datetime.fromtimestamp(redis_now_ms(get_broker().client) / 1000, UTC)


def note() -> None:
    """A periodic job runs now, or a process for them starts: the scheduler has LATE seconds from here. Raises RedisError."""
    _last.note()


def expect() -> None:
    """As `note`, but only where Redis has lost the time. Raises RedisError."""
    _last.note(only_first=True)


def ran_ago() -> float | None:
    """Seconds since one ran; None: Redis knows nothing, for no process of `maintenance` has run. Raises RedisError."""
    return _last.ago()
