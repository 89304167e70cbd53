"""Counters of all processes together, for /metrics: added up here, and handed to Redis once a second.

They are figures for operators, not books: a killed process loses its last second, a lost Redis begins again at zero.
What must be exact is counted in PostgreSQL.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import cast

import redis

from shared.broker.redis_broker import get_broker
from shared.config import settings

#: Seconds between two deliveries to Redis.
INTERVAL = 1.0

_lock = threading.Lock()
_waiting: dict[str, float] = defaultdict(float)
_dirty = threading.Event()
_flusher: threading.Thread | None = None


def increment(metric: str, *labels: str, by: float = 1) -> None:
    """Adds to a counter. Never fails, never waits for Redis."""
    with _lock:
        _waiting["|".join((metric, *labels))] += by
        _start()
    _dirty.set()


def _start() -> None:
    global _flusher  # noqa: PLW0603 - one thread a process; a fork leaves a dead one behind
    if _flusher is None or not _flusher.is_alive():
        _flusher = threading.Thread(target=_keep_flushing, name="tally", daemon=True)
        _flusher.start()


def _keep_flushing() -> None:
    pause = threading.Event()
    while _dirty.wait():
        _dirty.clear()
        flush()
        pause.wait(INTERVAL)


def flush() -> None:
    """Hands over what has come together; a Redis that is away gets it later."""
    with _lock:
        counts = dict(_waiting)
        _waiting.clear()
    if not counts:
        return
    try:
        pipeline = get_broker().client.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.hincrbyfloat(_key(), name, count)
        pipeline.execute()
    except redis.RedisError:
        with _lock:
            for name, count in counts.items():
                _waiting[name] += count


def read() -> dict[tuple[str, ...], float]:
    """All counters: (metric, label, …) -> count. Raises redis.RedisError."""
    flush()
    found = cast(dict[bytes, bytes], get_broker().client.hgetall(_key()))
    return {tuple(name.decode().split("|")): float(count) for name, count in found.items()}


def _key() -> str:
    return f"{settings().redis_namespace}:tally"


def reset() -> None:
    """Forgets what was not handed over; for programs that change their environment."""
    with _lock:
        _waiting.clear()
