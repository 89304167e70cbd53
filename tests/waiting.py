"""To wait for a state and not for a time: what has to be so before the next act of a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shared.db.session import watchdog


def until(happened: Callable[[], Any], what: str = "it did not happen", seconds: float = 150) -> Any:
    """Returns what happened when it has; the time only bounds a test that hangs."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def give_up_soon() -> None:
    """Statements on the connections to PostgreSQL that are open now, and that nobody answers any more, end after a second."""
    for session in list(watchdog._sessions):
        session.patience = 1.0
