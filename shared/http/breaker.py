"""A circuit breaker for services of which there is more than one: which of them is not asked first for now.

Of one process, as the bulkhead is. Not pybreaker: it holds a lock for the length of each call, so threads ask one at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Failures in a row that make a pause; a success forgets them. One may be chance, three hardly.
FAILURES = 3
#: Seconds of the first pause. After each one call finds out whether the service is back; if not, the next is twice as long.
PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: Services that are remembered; beyond that all are asked again.
MOST_SERVICES = 4096


@dataclass
class _Record:
    failures: int = 0
    pauses: int = 0
    paused_at: float = 0.0
    paused_until: float = 0.0


class Breaker:
    """What is known of services that failed. `now`: seconds, monotonic."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self._lock = now, threading.Lock()
        self._records: dict[Hashable, _Record] = {}

    def admits(self, service: Hashable) -> bool:
        """Whether to ask it now. After a pause one caller is let through; the others are not, until that one has an answer."""
        with self._lock:
            record, now = self._records.get(service), self.now()
            if record is None or not record.pauses:
                return True
            if now < record.paused_until:
                return False
            record.paused_until = now + _pause(record.pauses)
            return True

    def succeeded(self, service: Hashable) -> None:
        """It answered."""
        if service in self._records:
            with self._lock:
                self._records.pop(service, None)

    def failed(self, service: Hashable, began: float, pause: float | None = None) -> None:
        """A call that began then (by `now`) failed. `pause`: others would fail as well, for so long at the least."""
        with self._lock:
            if len(self._records) >= MOST_SERVICES:
                self._records.clear()
            record, now = self._records.setdefault(service, _Record()), self.now()
            if record.pauses and began < record.paused_at:
                return  # it was under way when the pause began, and says nothing new
            record.failures += 1
            if record.failures >= FAILURES or pause is not None:
                record.pauses += 1
                record.paused_at, record.paused_until = now, now + max(pause or 0.0, _pause(record.pauses))


def _pause(number: int) -> float:
    return min(LONGEST_PAUSE, PAUSE * 2.0 ** min(number - 1, 10))
