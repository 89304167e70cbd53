"""A bulkhead around calls to customers' endpoints: one that hangs must not exhaust the worker's threads (Nygard, "Release It!").

Three rules, each of one process, without any coordination between processes:

- A call that takes long no longer counts: the process gets another thread in its place. So endpoints that are not yet
  known to hang may hang by the hundred.
- Each endpoint has a limit on its concurrent calls: halved by each call that gets no response, raised by one with each that
  does (AIMD, as in TCP). A dead endpoint soon has a limit of one; that one call also finds out when it is well again.
- A job whose endpoint has no free slot is snoozed, for longer the older it is, which costs no attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.errors import OutcomeUnknown, Snooze
from shared.http.failures import ConnectFailed

#: Concurrent calls to one endpoint that works: all of a default process's threads.
MAX_SLOTS = 32
#: Seconds after which a call counts as slow: longer than nearly every endpoint takes, short for the jobs that wait behind it.
SLOW_AFTER = 0.5
#: Seconds between two checks for slow calls; there are none while no call is under way.
CHECK_INTERVAL = 0.1
#: Slow calls of a process, each a sleeping thread (about 0.2 MB); beyond, endpoints that gave no response get no slot.
MAX_SLOW_CALLS = 500
#: Seconds that a job without a slot waits, or this share of its age if that is more: it is retried O(log age) times.
MIN_SNOOZE, SNOOZE_OF_AGE = 2.0, 0.5


class ThreadPool(Protocol):
    """The worker's threads, which can become more and fewer (shared/broker/thread_pool.py)."""

    def add_thread(self) -> bool:
        """Adds one; False if that is not possible now."""

    def retire_thread(self) -> None:
        """Ends the calling thread after its job."""


@dataclass
class _Endpoint:
    slots: int = MAX_SLOTS
    in_flight: int = 0


@dataclass(eq=False)
class _Call:
    started: float
    replaced: bool = False


class Bulkhead:
    """The calls under way, by the endpoint that they go to."""

    def __init__(self, threads: ThreadPool, max_slow_calls: int = MAX_SLOW_CALLS) -> None:
        self._threads, self._max_slow_calls = threads, max_slow_calls
        self._lock = threading.Lock()
        self._endpoints: dict[int, _Endpoint] = {}
        self._calls: dict[_Call, None] = {}  # in the order in which they started
        self._slow_calls = 0
        self._has_calls = threading.Event()
        self._watcher: threading.Thread | None = None

    @contextmanager
    def slot(self, endpoint: int, age: float) -> Iterator[None]:
        """Room for one call, of a job `age` seconds old. Raises Snooze if the endpoint has none left."""
        call = self._acquire(endpoint, age)
        responded = True
        try:
            yield
        except (ConnectFailed, OutcomeUnknown):
            responded = False
            raise
        finally:
            self._release(endpoint, call, responded)

    def _acquire(self, endpoint_id: int, age: float) -> _Call:
        with self._lock:
            endpoint = self._endpoints.get(endpoint_id) or _Endpoint()
            failing_and_full = endpoint.slots < MAX_SLOTS and self._slow_calls >= self._max_slow_calls
            if failing_and_full or endpoint.in_flight >= endpoint.slots:
                delay = max(MIN_SNOOZE, age * SNOOZE_OF_AGE)
                raise Snooze(delay, f"the endpoint has {endpoint.in_flight} calls without a response")
            self._endpoints[endpoint_id] = endpoint
            endpoint.in_flight += 1
            call = _Call(time.monotonic())
            self._calls[call] = None
            self._start_watching()
        return call

    def _release(self, endpoint_id: int, call: _Call, responded: bool) -> None:
        with self._lock:
            endpoint = self._endpoints[endpoint_id]
            endpoint.in_flight -= 1
            endpoint.slots = min(MAX_SLOTS, endpoint.slots + 1) if responded else max(1, endpoint.slots // 2)
            if endpoint.slots == MAX_SLOTS and not endpoint.in_flight:
                del self._endpoints[endpoint_id]  # the same as one that was never called
            del self._calls[call]
            if call.replaced:
                self._slow_calls -= 1
                self._threads.retire_thread()

    def _start_watching(self) -> None:
        self._has_calls.set()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="slow-calls", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        while self._has_calls.wait():
            time.sleep(CHECK_INTERVAL)
            with self._lock:
                self._replace_slow_calls()
                if not self._calls:
                    self._has_calls.clear()

    def _replace_slow_calls(self) -> None:
        threshold = time.monotonic() - SLOW_AFTER
        for call in self._calls:
            if call.started > threshold or self._slow_calls >= self._max_slow_calls:
                return
            if not call.replaced and self._threads.add_thread():
                call.replaced = True
                self._slow_calls += 1
