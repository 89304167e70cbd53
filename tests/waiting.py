"""To wait for a state and not for a time: what has to be so before the next act of a test."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], what: str = "it did not happen", seconds: float = 60) -> None:
    """Returns when it is; the time only bounds a test that hangs."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
