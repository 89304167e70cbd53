"""What a worker process does between a SIGTERM and its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dramatiq.common
import pytest
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker

from shared.jobs import worker_process
from tests.builders import World


class _Thread:
    """Ends so many seconds after it was told to, by a clock that only a wait moves."""

    def __init__(self, clock: SimpleNamespace, seconds: float) -> None:
        self._clock, self._ends_at, self.has_ended = clock, seconds, False

    def stop(self) -> None:
        self._ends_at += self._clock.now

    def join(self, timeout: float) -> None:
        self.has_ended = self._clock.now + timeout >= self._ends_at
        self._clock.now = max(self._clock.now, min(self._clock.now + timeout, self._ends_at))


def test_a_job_has_all_the_time_that_a_shutdown_leaves_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dramatiq subtracted what had passed again for each thread: idle ones take up to a second, and 32 left 3 s of 18."""
    worker_process.boot()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(worker_process, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(dramatiq.common, "current_millis", lambda: int(clock.now * 1000))
    worker: Any = Worker(StubBroker(), worker_threads=32)
    idle = [_Thread(clock, 1.0) for _ in range(31)]
    at_work, too_slow = _Thread(clock, 17.0), _Thread(clock, 19.0)
    worker.workers = [*idle, at_work, too_slow]
    worker.stop(18_000)
    assert [at_work.has_ended, too_slow.has_ended] == [True, False]
    assert clock.now == 18.0
