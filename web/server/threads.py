"""Threads for complete requests, in which addresses take turns: a thousand requests of one do not stand before another's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class FairThreads:
    """Used on one event loop only."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "request")
        # As many again wait in the pool: a thread that ends its work has the next at hand.
        self._room = 2 * threads
        self._waiting: dict[str, deque[tuple[asyncio.Future[Any], Callable[[], Any]]]] = {}

    async def run(self, address: str, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread when it is this address's turn."""
        turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append((turn, work))
        self._begin_next()
        result: T = await turn
        return result

    def _begin_next(self) -> None:
        while self._room and self._waiting:
            address = next(iter(self._waiting))
            line = self._waiting.pop(address)
            turn, work = line.popleft()
            if line:
                self._waiting[address] = line  # behind the others
            if not turn.cancelled():
                self._room -= 1
                done = asyncio.get_running_loop().run_in_executor(self._pool, work)
                done.add_done_callback(partial(self._end, turn))

    def _end(self, turn: asyncio.Future[Any], ended: asyncio.Future[Any]) -> None:
        self._room += 1
        self._begin_next()
        if turn.cancelled():
            return
        problem = ended.exception()
        if problem is None:
            turn.set_result(ended.result())
        else:
            turn.set_exception(problem)
