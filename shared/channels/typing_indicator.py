"""While the AI works on an answer, its customer sees that the message was read and that somebody types.

A courtesy: nobody waits for it. The calls are made by a few threads of their own; what they cannot take at once is left out, what
fails is counted, and neither delays or fails the answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from shared.channels.whatsapp_cloud import typing as cloud
from shared.channels.whatsapp_qr import typing as qr
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Threads of a process, calls that it has in hand at most, and of one account: one whose gateway hangs must not take them all.
THREADS, MOST, MOST_OF_ACCOUNT = 4, 16, 4
#: Customers to whom a process begins to show it in a second. Beyond that its time is for answers.
PER_SECOND = 10

#: What a claim says of who is to see it (`typing` in workers/ai.sql).
Target = Mapping[str, Any]


class _Channel(NamedTuple):
    begin: Callable[[Target], None]
    end: Callable[[Target], None] | None = None


#: The widget's page shows that somebody types by itself.
_CHANNELS = {"whatsapp_cloud": _Channel(cloud.begin), "whatsapp_qr": _Channel(qr.begin, qr.end)}


class Typing:
    """What a customer is shown from `begin` on, until `end`."""

    def __init__(self, channel: str, target: Target) -> None:
        self._channel, self._target = channel, target
        self._begun: Future[None] | None = _submit(channel, target, _CHANNELS[channel].begin)

    def end(self) -> None:
        """The answer is there, or there will be none."""
        end = _CHANNELS[self._channel].end
        begun = self._begun
        if end is None or begun is None:
            return

        def after(target: Target) -> None:
            begun.exception()  # both go through one pool, in their order
            end(target)

        _submit(self._channel, self._target, after)


def begin(channel: str, target: Target | None) -> Typing | None:
    """Shows it, where the channel can and the chatbot wants it."""
    if not target or channel not in _CHANNELS:
        return None
    if not _has_time():
        metrics.increment("typing", channel, "left_out")
        return None
    return Typing(channel, target)


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


def _submit(channel: str, target: Target, call: Callable[[Target], None]) -> Future[None] | None:
    global _pool  # noqa: PLW0603 - one a process, made when it is first needed
    account = f"{channel} {target['account']}"
    with _lock:
        is_full = _in_hand.total() >= MOST or _in_hand[account] >= MOST_OF_ACCOUNT
        if not is_full:
            _in_hand[account] += 1
            _pool = _pool or ThreadPoolExecutor(THREADS, thread_name_prefix="typing")
    if is_full or _pool is None:
        metrics.increment("typing", channel, "left_out")
        return None
    return _pool.submit(_run, channel, account, target, call)


def _run(channel: str, account: str, target: Target, call: Callable[[Target], None]) -> None:
    try:
        call(target)
        metrics.increment("typing", channel, "shown")
    except Exception as problem:
        log.debug("typing_not_shown", extra={"error": type(problem).__name__})
        metrics.increment("typing", channel, "failed")
    finally:
        with _lock:
            _in_hand[account] -= 1
            if not _in_hand[account]:
                del _in_hand[account]
