"""Files that are in memory as a whole while somebody outside is asked about them: so many bytes at once, half of one business.

A picture is there five times over on its way to a model, which may take a minute to answer, and so is a voice note on its way to
a transcriber: a hundred large ones of one visitor would fill a worker that does everybody's messages.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from shared.errors import RateLimited
from shared.telemetry import machine

#: Bytes of files in memory at once: of all in a process, and of one business. A file that is larger goes alone.
MOST, MOST_OF_ONE = 32 * 1024 * 1024, 16 * 1024 * 1024
#: Bytes from which on files wait for those of other businesses: pictures as phones send them, four of 200 kB, do not.
LARGE = 1024 * 1024
#: Seconds that a job waits for others' files to be gone, or this share of its age if that is more; and at most.
WAIT, WAIT_OF_AGE, LONGEST_WAIT = 1.0, 0.5, 15.0


class NoRoomInMemory(RateLimited):
    """Too many bytes of files are in memory already, for a job that is `age` old."""

    def __init__(self, age: float) -> None:
        wait = min(max(WAIT, age * WAIT_OF_AGE), LONGEST_WAIT)
        super().__init__(wait, "other files are in memory, and this one waits for their end")


class _Held:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Counter[Hashable] = Counter()

    @contextmanager
    def hold(self, customer: Hashable, size: int, age: float) -> Iterator[None]:
        """Room for files of `size` bytes, for the length of the block. Raises NoRoomInMemory, for a job that is `age` old."""
        with self._lock:
            own, of_all = self._of[customer], self._of.total() if size >= LARGE else 0
            if size and ((own and own + size > MOST_OF_ONE) or (of_all and of_all + size > MOST)):
                raise NoRoomInMemory(age)
            self._of[customer] += size
        try:
            yield
        finally:
            with self._lock:
                self._of[customer] -= size
                self._of += Counter()  # drops those that have none
            if size >= LARGE:
                machine.give_back_memory()


hold = _Held().hold
