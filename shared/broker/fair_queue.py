"""What a process works on next: stages and lanes take turns by weight, customers one by one, so that none starves another.

Dramatiq's queue is strict: while premium alone can fill the stage, basic never runs. Here lanes take turns by stride
scheduling (Waldspurger and Weihl 1995): a lane that has work moves on by 1/weight for each job it gets, and the lane that
is furthest behind is next. A lane that was idle starts where the others are: it saves up no turns, and a premium job that
comes now is next. Stages that share a process take turns in the same way, all with the same weight. Within a lane customers
take turns, as they do in Redis (turns.lua): whoever sends thousands of messages waits for their own.

Of a stage that does many jobs in one statement (`together`) a thread takes several at once: an item of its own, and companions.
So one thread is enough, however many wait. A companion that was not done with the others comes back, and is done alone.

A stage that calls somebody outside may have only a share of the threads of a process that runs other stages as well
(thread_limits): a provider that hangs stops its own stage and no other.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Hashable, Iterable, Mapping
from queue import PriorityQueue
from typing import Any, Generic, TypeVar

from shared import queues
from shared.queues import BEHIND, LOWEST, Queue

Who = TypeVar("Who", bound=Hashable)

#: Turns by actor priority (shared/queues.py) while all lanes have work: premium gets at least 15 of 20, basic one. Of events
#: one is delivered again beside 20 that are delivered for the first time.
WEIGHTS: Mapping[int, float] = {1: 15, 3: 4, LOWEST: 1, BEHIND: 1 / 20}
#: The share of a process's threads that a stage may have which waits for somebody outside. The AI takes seconds.
SHARES = {
    Queue.MEDIA: 1 / 8,
    Queue.AI: 1 / 2,
    Queue.WHATSAPP_CLOUD: 1 / 4,
    Queue.WHATSAPP_QR: 1 / 4,
    Queue.TELEGRAM: 1 / 4,
    Queue.WEBHOOKS: 1 / 4,
    Queue.KNOWLEDGE_IMPORT: 1 / 16,
    Queue.KNOWLEDGE_EMBEDDING: 1 / 16,
}
#: The share that all of these may have together: what is left saves and routes messages whatever hangs outside.
SHARE_OF_ALL = 7 / 8
#: Items that a thread takes at once, its own with them: a statement of some milliseconds.
TOGETHER = 50
#: The name under which thread_limits limits them together.
OUTSIDE = "outside"


def thread_limits(threads: int, stages: Iterable[str]) -> dict[str, int]:
    """How many of a process's threads each of its stages may have, and all that call outside together.

    Nothing is limited in a process that runs one stage alone.
    """
    served = set(stages)
    if len(served) < 2:
        return {}
    shares = {stage.value: share for stage, share in SHARES.items() if stage in served} | {OUTSIDE: SHARE_OF_ALL}
    return {name: max(1, int(threads * share)) for name, share in shares.items()}


class _Turns(Generic[Who]):
    """Stride scheduling: how far each participant has come."""

    def __init__(self) -> None:
        self._place: dict[Who, float] = {}
        self._now = 0.0

    def join(self, who: Who) -> None:
        """Has work again, and saved up no turns meanwhile."""
        self._place[who] = max(self._place.get(who, 0.0), self._now)

    def next(self, waiting: Iterable[Who], weights: Mapping[Who, float]) -> Who:
        """The one that is furthest behind moves on by its weight (1 unless `weights` says so)."""
        who = min(waiting, key=self._place.__getitem__)
        self._now = self._place[who]
        self._place[who] += 1 / weights.get(who, 1)
        return who


class _Lane:
    """The messages of one lane, by customer; None is a customer, too. The first customer is next."""

    def __init__(self) -> None:
        self._customers: OrderedDict[int | None, deque[Any]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._customers)

    def put(self, item: Any) -> None:
        self._customers.setdefault(item.message.options.get("customer"), deque()).append(item)

    def get(self) -> Any:
        customer, items = next(iter(self._customers.items()))
        item = items.popleft()
        self._customers.move_to_end(customer)
        if not items:
            del self._customers[customer]
        return item


class _Stage:
    """The messages of one stage, by lane."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {priority: _Lane() for priority in WEIGHTS}
        self._turns: _Turns[int] = _Turns()
        self._alone: deque[Any] = deque()
        self.size = 0

    def put_alone(self, item: Any) -> None:
        """Back, before all others, and to be done alone."""
        self._alone.append(item)
        self.size += 1

    def get_with_companions(self) -> tuple[Any, list[Any]]:
        """The next item, and those that may be done together with it."""
        count = 0 if self._alone else min(TOGETHER, self.size) - 1
        return self.get(), [self.get() for _ in range(count)]

    def put(self, item: Any) -> None:
        lane = self._lanes[item.priority]
        if not lane:
            self._turns.join(item.priority)
        lane.put(item)
        self.size += 1

    def get(self) -> Any:
        self.size -= 1
        if self._alone:
            return self._alone.popleft()
        return self._lanes[self._turns.next((lane for lane, items in self._lanes.items() if items), WEIGHTS)].get()


class FairQueue(PriorityQueue[Any]):
    """Replaces Dramatiq's work queue. Items have a `priority`; one that has no weight goes before all others.

    A thread that gets an item calls `task_done` when it has worked on it: until then it counts for the item's stage, and
    `limits` says how many may. What waits for a thread of its stage is not there for `get`.
    """

    def __init__(self, limits: Mapping[str, int] | None = None, together: Collection[str] = ()) -> None:
        self._limits, self._together = dict(limits or {}), together
        super().__init__()

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - queue.Queue's signature
        self._urgent: deque[Any] = deque()
        self._stages: dict[str, _Stage] = {}
        self._turns: _Turns[str] = _Turns()
        self._threads = Counter[str]()  # by stage, and OUTSIDE
        self._stage_of_thread: dict[int, str] = {}
        self._companions: dict[int, list[Any]] = {}  # by thread

    def _qsize(self) -> int:
        return len(self._urgent) + sum(self._stages[name].size for name in self._runnable())

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - queue.Queue's signature
        """Adds an item, and wakes a thread for it unless one comes for its stage anyway, or its stage may have no further one."""
        with self.mutex:
            self.unfinished_tasks += 1
            name = queues.stage(item.message.queue_name)
            is_awaited = self._is_full(name) or (name in self._together and name in self._stages and self._stages[name].size > 0)
            self._put(item)
            if not is_awaited or item.priority not in WEIGHTS:
                self.not_empty.notify()

    def _put(self, item: Any) -> None:
        if item.priority not in WEIGHTS:
            self._urgent.append(item)
            return
        name = queues.stage(item.message.queue_name)
        stage = self._stages.get(name) or self._stages.setdefault(name, _Stage())
        if not stage.size:
            self._turns.join(name)
        stage.put(item)

    def _get(self) -> Any:
        if self._urgent:
            return self._urgent.popleft()
        name = self._turns.next(self._runnable(), {})
        if self._limits:
            self._stage_of_thread[threading.get_ident()] = name
            self._threads.update(_limited_as(name))
        stage = self._stages[name]
        if name not in self._together:
            return stage.get()
        item, companions = stage.get_with_companions()
        if companions:
            self._companions[threading.get_ident()] = companions
        if stage.size:
            self.not_empty.notify()
        return item

    def companions(self) -> list[Any]:
        """What the calling thread took besides its own item, and has not done yet."""
        return list(self._companions.get(threading.get_ident(), ()))

    def companion_done(self, item: Any) -> None:
        """The calling thread has done a companion."""
        with self.mutex:
            self._companions[threading.get_ident()].remove(item)
        super().task_done()

    def _runnable(self) -> list[str]:
        """The stages that have work, and may have another thread."""
        return [name for name, stage in self._stages.items() if stage.size and not self._is_full(name)]

    def _is_full(self, stage: str) -> bool:
        limits = self._limits
        return any(name in limits and self._threads[name] >= limits[name] for name in _limited_as(stage)) if limits else False

    def task_done(self) -> None:
        """The calling thread has worked on its item: another one may work for the same stage.

        Companions that are not done go back, each to be done alone.
        """
        with self.mutex:
            for item in self._companions.pop(threading.get_ident(), ()):
                self._put_back(item)
            stage = self._stage_of_thread.pop(threading.get_ident(), None)
            if stage is not None:
                self._threads.subtract(_limited_as(stage))
                if not getattr(threading.current_thread(), "running", False):  # else it comes back for the next item itself
                    self.not_empty.notify()
        super().task_done()

    def _put_back(self, item: Any) -> None:
        name = queues.stage(item.message.queue_name)
        if not self._stages[name].size:
            self._turns.join(name)
        self._stages[name].put_alone(item)
        self.not_empty.notify()

    def add_threads(self, stage: str, count: int) -> None:
        """So many threads more, or fewer if negative, are there for this stage alone."""
        with self.mutex:
            for name in _limited_as(stage):
                if name in self._limits:
                    self._limits[name] += count
            self.not_empty.notify()

    def drain(self) -> list[Any]:
        """Takes everything out, also what waits for a thread of its stage. Nothing is limited afterwards."""
        with self.mutex:
            self._limits, self._together = {}, ()
            return [self._get() for _ in range(self._qsize())]


def _limited_as(stage: str) -> tuple[str, ...]:
    """The limits under which a stage's threads fall."""
    return (stage, OUTSIDE) if stage in SHARES else (stage,)
