"""Attempts at rows on which others are at work at this moment: they need milliseconds."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

#: Seconds between two attempts at most: a tenth of it at least, and never the same for two who met.
PAUSE = 0.15


def attempts(count: int) -> Iterator[None]:
    """`for _ in attempts(20)`: so many turns with a short pause behind each, for a loop that is left at the first success."""
    for _ in range(count):
        yield
        time.sleep(random.uniform(PAUSE / 10, PAUSE))
