"""To wait for a state and not for a time: what has to be so before the next act of a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(happened: Callable[[], Any], what: str = "it did not happen", seconds: float = 60) -> Any:
    """Returns what happened when it has; the time only bounds a test that hangs."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found
