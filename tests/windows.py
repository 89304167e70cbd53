"""How much happened at once, where nobody knows exactly when: each thing between two times that are known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


def fullest(length: float, begun: Iterable[float], ended: Iterable[float]) -> int:
    """How many things at the least happened within one such length of time.

    `begun` and `ended`: times before and after each of them, in any order. However long a machine sleeps in between, the answer
    is only lower.
    """
    begun, ended = sorted(begun), sorted(ended)
    return max(bisect_right(ended, start + length) - bisect_left(begun, start) for start in begun)
