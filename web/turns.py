"""Turns at what takes a thread of a web process for long: a few of all, and fewer of one who shares a name with others."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager


class NoTurn(Exception):
    """The others kept theirs for longer than somebody waits."""


class Turns:
    """At most `size` at the same time; who waits is served in no order, for each waits only for seconds."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._taken: Counter[Hashable] = Counter()
        self._all = 0

    @contextmanager
    def turn(self, shares: Mapping[Hashable, int], patience: float) -> Iterator[None]:
        """A turn. `shares`: who takes it, by each of their names, and how many may be taken under each. Raises NoTurn."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not self._is_free(shares):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise NoTurn
            self._count(shares, 1)
        try:
            yield
        finally:
            with self._changed:
                self._count(shares, -1)
                self._changed.notify_all()

    def _is_free(self, shares: Mapping[Hashable, int]) -> bool:
        return self._all < self._size and all(self._taken[name] < most for name, most in shares.items())

    def _count(self, shares: Mapping[Hashable, int], change: int) -> None:
        self._all += change
        for name in shares:
            self._taken[name] += change
            if not self._taken[name]:
                del self._taken[name]
