"""Natural batching: what the threads of a process have to say to a server at the same moment goes out together.

While one round trip is under way the next one fills; nobody waits for a timer, and who comes alone goes at once. The
thread that finds nobody talking leads: it takes everything that waits, speaks for all, and hands the lead to the first
of those who came meanwhile.
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


class CutOff(RuntimeError):
    """The thread that spoke for a batch was ended in the middle of it."""


class _Place(Generic[Item, Result]):
    """One caller's item, its answer, and what the caller sleeps on until it is answered or has to lead."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn = threading.Lock()
        self.turn.acquire()
        self.answer: Result | None = None
        self.problem: Exception | None = CutOff("its batch was cut off")
        self.answered = False

    def settle(self, answer: Result | Exception) -> None:
        if isinstance(answer, Exception):
            self.problem = answer
        else:
            self.answer, self.problem = answer, None


class Batch(Generic[Item, Result]):
    """Calls `run` with the items of several threads at once; each gets its own result, or its own exception.

    When a batch fails, its items run one by one, so that one bad item never fails its neighbours: `run` must have
    done nothing when it raises.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], limit: int = LIMIT) -> None:
        self._run, self._limit = run, limit
        self._lock = threading.Lock()
        self._waiting: list[_Place[Item, Result]] = []
        self._busy = False

    def __call__(self, item: Item) -> Result:
        """The result for this item. Raises what `run` raised for it."""
        place: _Place[Item, Result] = _Place(item)
        if not self._leads(place):
            place.turn.acquire()
        if not place.answered:
            self._lead()
        if place.problem is not None:
            raise place.problem
        return place.answer  # type: ignore[return-value]  # None only where Result is None

    def _leads(self, place: _Place[Item, Result]) -> bool:
        with self._lock:
            self._waiting.append(place)
            alone, self._busy = not self._busy, True
            return alone

    def _lead(self) -> None:
        time.sleep(0)  # lets go of the interpreter once: threads that are ready to speak join this batch
        with self._lock:
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        try:
            self._settle(batch)
        finally:
            self._hand_over()
            for place in batch:
                place.answered = True
                place.turn.release()

    def _hand_over(self) -> None:
        with self._lock:
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()

    def _settle(self, batch: list[_Place[Item, Result]]) -> None:
        try:
            answers: Sequence[Result | Exception] = self._run([place.item for place in batch])
        except ServiceDown as problem:
            answers = [problem] * len(batch)
        except Exception as problem:
            answers = [problem] if len(batch) == 1 else self._one_by_one(batch)
        for place, answer in zip(batch, answers, strict=True):
            place.settle(answer)

    def _one_by_one(self, batch: list[_Place[Item, Result]]) -> list[Result | Exception]:
        answers: list[Result | Exception] = []
        for place in batch:
            down = answers and isinstance(answers[-1], ServiceDown)
            answers.append(answers[-1] if down else self._alone(place.item))
        return answers

    def _alone(self, item: Item) -> Result | Exception:
        try:
            return self._run([item])[0]
        except Exception as problem:
            return problem
