"""Natural batching: calls that threads of a process make at the same moment share one round trip.

While one round trip is under way the next batch fills; there is no timer, and a lone call goes out at once. The thread that
finds no round trip under way is the leader: it executes everything that waits, then passes the lead to the first thread
that came meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import ServiceDown

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items of one round trip at most: a statement of a few milliseconds.
LIMIT = 100
#: Seconds that a call waits for another thread's round trip before it makes its own; most take milliseconds.
OVERDUE = 1.0
#: Batches of one item after which nobody is waited for: the system takes 0.07 ms to wake a thread that sleeps for no time.
QUIET = 10


class LeaderInterrupted(RuntimeError):
    """The leader thread was interrupted while it executed the batch."""


class _Call(Generic[Item, Result]):
    """One caller's item and answer, and the lock that the caller sleeps on until it is answered or has to lead."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = threading.Lock()
        self.turn.acquire()
        self.answer: Result | None = None
        self.error: Exception | None = LeaderInterrupted("the leader of its batch was interrupted")
        self.answered = False
        self.leads = False

    def settle(self, answer: Result | Exception) -> None:
        if isinstance(answer, Exception):
            self.error = answer
        else:
            self.answer, self.error = answer, None


class Batch(Generic[Item, Result]):
    """Calls `run` with the items of several threads at once; each gets its own result, or its own exception.

    When a batch fails, its items run one by one, so that one bad item never fails its neighbours: `run` must have
    done nothing when it raises.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], limit: int = LIMIT) -> None:
        self._run, self._limit = run, limit
        self._lock = threading.Lock()
        self._waiting: list[_Call[Item, Result]] = []
        self._leaders = 0
        #: Batches of one item since the latest with more.
        self._lone = 0

    def __call__(self, item: Item) -> Result:
        """The result for this item. Raises what `run` raised for it."""
        call: _Call[Item, Result] = _Call(item)
        if not self._leads(call) and not call.turn.acquire(timeout=OVERDUE) and not self._takes_over(call):
            call.turn.acquire()
        if not call.answered:
            self._lead(call)
        if call.error is not None:
            raise call.error
        return call.answer  # type: ignore[return-value]  # None only where Result is None

    def _leads(self, call: _Call[Item, Result]) -> bool:
        with self._lock:
            self._waiting.append(call)
            call.leads = not self._leaders
            self._leaders += call.leads
            return call.leads

    def _takes_over(self, call: _Call[Item, Result]) -> bool:
        """Whether a call that has waited for long leads now: not if its own item is under way."""
        with self._lock:
            if call.leads:  # the lead was passed on to it at this moment
                call.turn.acquire()
            elif call in self._waiting:
                call.leads = True
                self._leaders += 1
            return call.leads

    def _lead(self, leader: _Call[Item, Result]) -> None:
        if self._lone < QUIET:
            time.sleep(0)  # yields the interpreter once, so that threads which are ready join this batch
        with self._lock:  # who leads as well takes its own item
            batch = [leader, *[call for call in self._waiting if not call.leads][: self._limit - 1]]
            self._lone = 0 if len(batch) > 1 else self._lone + 1
            taken = set(batch)
            self._waiting = [call for call in self._waiting if call not in taken]
        try:
            self._settle(batch)
        finally:
            self._pass_lead()
            for call in batch:
                call.answered = True
                call.turn.release()

    def _pass_lead(self) -> None:
        with self._lock:
            heir = next((call for call in self._waiting if not call.leads), None)
            if heir is None:
                self._leaders -= 1
            else:
                heir.leads = True
                heir.turn.release()

    def _settle(self, batch: list[_Call[Item, Result]]) -> None:
        try:
            answers: Sequence[Result | Exception] = self._run([call.item for call in batch])
        except ServiceDown as error:
            answers = [error] * len(batch)
        except Exception as error:
            answers = [error] if len(batch) == 1 else self._one_by_one(batch)
        for call, answer in zip(batch, answers, strict=True):
            call.settle(answer)

    def _one_by_one(self, batch: list[_Call[Item, Result]]) -> list[Result | Exception]:
        answers: list[Result | Exception] = []
        for call in batch:
            down = answers and isinstance(answers[-1], ServiceDown)
            answers.append(answers[-1] if down else self._alone(call.item))
        return answers

    def _alone(self, item: Item) -> Result | Exception:
        try:
            return self._run([item])[0]
        except Exception as error:
            return error
