"""What a process works on next: lanes take turns by weight, so that no lane starves another.

Dramatiq's queue is strict: while premium alone can fill the stage, basic never runs. Here lanes take turns by stride
scheduling (Waldspurger and Weihl 1995): a lane that has work moves on by 1/weight for each job it gets, and the lane that
is furthest behind is next. A lane that was idle starts where the others are: it saves up no turns, and a premium job that
comes now is next.
"""

from __future__ import annotations

from collections import deque
from queue import PriorityQueue
from typing import Any

#: Turns by actor priority (shared/queues.py) while all lanes have work: premium gets at least 15 of 20, basic one.
WEIGHTS = {1: 15, 3: 4, 5: 1}


class FairQueue(PriorityQueue[Any]):
    """Replaces Dramatiq's work queue. Items have a `priority`; one that has no weight goes before all others."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - queue.Queue's signature
        self._lanes: dict[int, deque[Any]] = {}
        self._turn: dict[int, float] = {}  # the position of each lane
        self._now = 0.0
        self._size = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, item: Any) -> None:
        lane = self._lanes.setdefault(item.priority, deque())
        if not lane:
            self._turn[item.priority] = max(self._turn.get(item.priority, 0.0), self._now)
        lane.append(item)
        self._size += 1

    def _get(self) -> Any:
        priority = min((lane for lane, items in self._lanes.items() if items), key=self._place)
        self._size -= 1
        if priority in WEIGHTS:
            self._now = self._turn[priority]
            self._turn[priority] += 1 / WEIGHTS[priority]
        return self._lanes[priority].popleft()

    def _place(self, priority: int) -> tuple[bool, float, int]:
        return priority in WEIGHTS, self._turn[priority], priority
