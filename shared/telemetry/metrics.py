"""Counters of all processes together, for /metrics: added up here, and written to Redis once a second.

They are figures for operators, not books: a killed process loses its last second, a Redis that lost its data starts again
at zero. What must be exact is counted in PostgreSQL.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import suppress
from typing import cast

import redis

from shared.config import settings

#: Seconds between two writes to Redis.
INTERVAL = 1.0

_lock = threading.Lock()
_is_written = threading.Condition(_lock)
#: Threads that have taken counts and not written them yet.
_writing = 0
_pending: dict[str, float] = defaultdict(float)
_has_pending = threading.Event()
_writer: threading.Thread | None = None
_client: redis.Redis | None = None


def use(client: redis.Redis) -> None:
    """The Redis to which the counters go. The broker calls it; until then they wait in memory."""
    global _client  # noqa: PLW0603 - one Redis a process, as there is one broker
    _client = client


def increment(metric: str, *labels: str, by: float = 1) -> None:
    """Adds to a counter. Never fails, never waits for Redis."""
    with _lock:
        _pending["|".join((metric, *labels))] += by
        _start()
    _has_pending.set()


def _start() -> None:
    global _writer  # noqa: PLW0603 - one thread a process; a fork leaves a dead one behind
    if _writer is None or not _writer.is_alive():
        _writer = threading.Thread(target=_keep_writing, name="metrics", daemon=True)
        with suppress(RuntimeError):  # the system has no thread to spare; the next count tries again
            _writer.start()


def _keep_writing() -> None:
    pause = threading.Event()
    while _has_pending.wait():
        _has_pending.clear()
        flush()
        pause.wait(INTERVAL)


def flush() -> None:
    """Writes what was counted since the last time; while Redis is away it is kept for the next time."""
    global _writing  # noqa: PLW0603 - of the process, as the counts are
    with _lock:
        client, counts = _client, dict(_pending)
        if client is None or not counts:
            return
        _pending.clear()
        _writing += 1
    is_written = False
    try:
        is_written = _write(client, counts)
    finally:
        with _is_written:
            for name, count in () if is_written else counts.items():
                _pending[name] += count
            _writing -= 1
            _is_written.notify_all()


def _write(client: redis.Redis, counts: dict[str, float]) -> bool:
    try:
        pipeline = client.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.hincrbyfloat(_key(), name, count)
        pipeline.execute()
    except redis.RedisError:
        return False
    return True


def read() -> dict[tuple[str, ...], float]:
    """All counters: (metric, label, …) -> count. Raises redis.RedisError."""
    flush()
    with _is_written:  # what another thread has taken; not for long, for Redis may be slow
        _is_written.wait_for(lambda: not _writing, INTERVAL)
    if _client is None:
        return {}
    counts = cast(dict[bytes, bytes], _client.hgetall(_key()))
    return {tuple(name.decode().split("|")): float(count) for name, count in counts.items()}


def _key() -> str:
    return f"{settings().redis_namespace}:tally"


def reset() -> None:
    """Forgets what was not written yet, and where to. For programs that change their environment: tests, bench, chaos."""
    global _client  # noqa: PLW0603
    with _lock:
        _pending.clear()
        _client = None
