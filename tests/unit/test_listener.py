"""A process listens to Redis with one thread, however many consumers begin at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import redis

from shared.broker.listener import Listener

CONSUMERS = 16


def test_consumers_that_begin_at_once_have_one_listener() -> None:
    """A second one would wait for the first's connection for ever, and say every time that Redis is lost."""
    before, together = set(threading.enumerate()), threading.Barrier(CONSUMERS)
    listeners = [Listener(redis.Redis(port=1), {}, "wake", "push") for _ in range(10)]

    def consume(_: int) -> None:
        for listener in listeners:
            together.wait()
            listener.start()

    with ThreadPoolExecutor(CONSUMERS, "consumer") as threads:
        list(threads.map(consume, range(CONSUMERS)))
    started = set(threading.enumerate()) - before
    for listener in listeners:
        listener.close()
    for thread in started:
        thread.join()
    assert len(started) == len(listeners)
