"""While the AI works on an answer, its customer sees that the message was read and that somebody types.

A courtesy: nobody waits for it. The calls are made by a few threads of their own, and only when the answer has taken a moment:
before that they would compete with it, and a customer who sees typing after the answer waits for another one. What the threads
cannot take at once is left out, what fails is counted, and neither delays or fails the answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

from shared.channels.registry import channel
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Threads of a process, calls that it has in hand at most, and of one account: one whose gateway hangs must not take them all.
THREADS, MOST, MOST_OF_ACCOUNT = 8, 16, 4
#: Customers to whom a process begins to show it in a second. Beyond that its time is for answers.
PER_SECOND = 10
#: Seconds that an answer may take before somebody is shown to type. One that was quicker only has the message marked as read.
SHOWN_AFTER = 0.25

#: Seconds that such a call may take: what comes later is of no use.
TIMEOUT = 5.0

#: What a claim says of who is to see it (`typing` in workers/ai.sql).
Target = Mapping[str, Any]


@cache
def _module(name: str) -> ModuleType:
    """A channel's `typing`: `begin`; `read`, if it has read marks; `end`, if it does not end by itself."""
    return import_module(f"shared.channels.{name}.typing")


class Typing:
    """What a customer is shown from a moment after `begin` on, until `end`."""

    def __init__(self, name: str, target: Target) -> None:
        self._name, self._target, self._module = name, target, _module(name)
        self._changing = threading.Lock()
        self._is_shown = self._is_answered = False
        _submit(name, target, self._show)

    def _show(self, target: Target) -> None:
        time.sleep(SHOWN_AFTER)
        if self._is_answered:
            self._call("read", target)
            return
        try:
            self._call("begin", target)
        finally:
            with self._changing:
                self._is_shown, is_answered = True, self._is_answered
            if is_answered:
                self._call("end", target)

    def end(self) -> None:
        """The answer is there, or there will be none."""
        with self._changing:
            is_shown, self._is_answered = self._is_shown, True
        if is_shown and hasattr(self._module, "end"):
            _submit(self._name, self._target, partial(self._call, "end"), is_owed=True)

    def _call(self, what: str, target: Target) -> None:
        call: Callable[[Target], None] | None = getattr(self._module, what, None)
        if call is not None:
            call(target)


def begin(name: str, target: Target | None) -> Typing | None:
    """Shows it, where the channel can and the chatbot wants it."""
    if not target or not channel(name).shows_typing:
        return None
    if not _has_time():
        metrics.increment("typing", name, "left_out")
        return None
    return Typing(name, target)


def _has_time() -> bool:
    now = time.monotonic()
    with _lock:
        while _begun and _begun[0] < now - 1.0:
            _begun.popleft()
        if len(_begun) >= PER_SECOND:
            return False
        _begun.append(now)
        return True


_lock = threading.Lock()
_in_hand: Counter[str] = Counter()
_begun: deque[float] = deque()
_pool: ThreadPoolExecutor | None = None


def _submit(name: str, target: Target, call: Callable[[Target], None], is_owed: bool = False) -> None:
    """`is_owed`: it ends what was begun, and is not left out."""
    global _pool  # noqa: PLW0603 - one a process, made when it is first needed
    account = f"{name} {target['account']}"
    with _lock:
        if not is_owed and (_in_hand.total() >= MOST or _in_hand[account] >= MOST_OF_ACCOUNT):
            metrics.increment("typing", name, "left_out")
            return
        _in_hand[account] += 1
        _pool = _pool or ThreadPoolExecutor(THREADS, thread_name_prefix="typing")
    with suppress(RuntimeError):  # the system has no thread to spare: one of those that are there does it, or the next one
        _pool.submit(_run, name, account, target, call)


def _run(name: str, account: str, target: Target, call: Callable[[Target], None]) -> None:
    try:
        call(target)
        metrics.increment("typing", name, "shown")
    except Exception as problem:
        log.debug("typing_not_shown", extra={"error": type(problem).__name__})
        metrics.increment("typing", name, "failed")
    finally:
        with _lock:
            _in_hand[account] -= 1
            if not _in_hand[account]:
                del _in_hand[account]
