"""How long the phases of a job took."""

from __future__ import annotations

import time


class Timings:
    """Milliseconds of each phase of a job, for the line that ends it."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.ms: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Ends a phase, which began with the end of the one before. The same phase twice is added up."""
        now = time.perf_counter()
        self.ms[phase] = round(self.ms.get(phase, 0) + (now - self._last) * 1000, 2)
        self._last = now
