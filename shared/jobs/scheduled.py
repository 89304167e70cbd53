"""When the jobs of the scheduler last ran: a scheduler that is dead fails nothing, so nobody would notice."""

from __future__ import annotations

from shared.broker.connection import redis_now_ms
from shared.broker.redis_broker import get_broker
from shared.config import settings

#: Seconds without any of them after which something is wrong; some are due each minute.
LATE = 300


def note() -> None:
    """One runs now; or who runs them starts, and the scheduler has its time from now on. Raises RedisError."""
    client = get_broker().client
    client.set(_key(), redis_now_ms(client) // 1000)


def expect() -> None:
    """Has the time run where Redis has lost it. Raises RedisError."""
    client = get_broker().client
    client.set(_key(), redis_now_ms(client) // 1000, nx=True)


def ran_ago() -> float | None:
    """Seconds since one ran; None: Redis knows nothing, for no process of `maintenance` has run. Raises RedisError."""
    client = get_broker().client
    ran_at = client.get(_key())
    return None if ran_at is None else max(0.0, redis_now_ms(client) / 1000 - float(ran_at))


def _key() -> str:
    return f"{settings().redis_namespace}:scheduled-at"
