"""How many calls of an account may be under way at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from shared.channels.outcomes import AccountDown
from shared.errors import OutcomeUnknown
from shared.http import ConnectFailed

#: Seconds that a call waits for others at most, and after which an account that nobody used starts over.
PATIENCE, IDLE = 2.0, 5.0
#: Accounts that are remembered before idle ones are forgotten.
MANY = 1_000


class _Window:
    """The calls of one account."""

    def __init__(self) -> None:
        self.size, self.under_way, self.used_at, self.down_at = 1, 0, 0.0, 0.0


class SlowStart:
    """How many calls of one account a process makes at the same time: one at first, and one more with each that passes.

    An account whose token was revoked would else be asked by every thread at once, when its replies were queued meanwhile. So
    nobody calls beside the first call until that is answered; 32 calls may be under way after as many answers, so nothing is
    slower than the first call. A number that nobody used for a while starts over. Nobody waits long: a provider that hangs is its
    own trouble.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._windows: dict[Hashable, _Window] = {}

    @contextmanager
    def call(self, account: Hashable) -> Iterator[bool]:
        """Around a call; gives whether another one has found the account down while this one waited."""
        asked_at = time.monotonic()
        window = self._enter(account, asked_at)
        found_down = window.down_at >= asked_at
        growth = 0 if found_down else 1
        try:
            yield found_down
        except AccountDown:
            growth, window.down_at = -window.size, time.monotonic()
            raise
        except (ConnectFailed, OutcomeUnknown):
            growth = 0
            raise
        finally:
            self._leave(window, growth)

    def _enter(self, account: Hashable, now: float) -> _Window:
        with self._changed:
            window = self._windows.setdefault(account, _Window())
            if not window.under_way and now - window.used_at > IDLE:
                window.size = 1
            self._changed.wait_for(lambda: window.under_way < window.size, PATIENCE)
            window.under_way += 1
            window.used_at = now
            self._forget_idle(now)
        return window

    def _leave(self, window: _Window, growth: int) -> None:
        with self._changed:
            window.under_way -= 1
            window.size = max(1, window.size + growth)
            window.used_at = time.monotonic()
            self._changed.notify_all()

    def _forget_idle(self, now: float) -> None:
        if len(self._windows) > MANY:
            self._windows = {
                account: window for account, window in self._windows.items() if window.under_way or now - window.used_at < IDLE
            }
