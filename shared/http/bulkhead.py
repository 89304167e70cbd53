"""A bulkhead around calls to addresses that customers give: one that hangs must not exhaust the worker's threads, nor must one
customer who has many of them (Nygard, "Release It!").

Three rules, each of one process, without any coordination between processes:

- A call that takes long no longer counts: the process gets another thread in its place. So endpoints that are not yet
  known to hang may hang by the hundred.
- A call needs a slot in each of its rooms: that of its endpoint, and that of its customer. The slots of a room are halved by
  each call that gets no response, and one more with each that does (AIMD, as in TCP). A dead endpoint soon has a single one,
  whose call also finds out when it answers again. A customer whose endpoints all hang keeps four.
- A job whose call finds no slot is snoozed, for longer the older it is, which costs no attempt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.errors import OutcomeUnknown, RateLimited, Snooze
from shared.http.failures import ConnectFailed

log = logging.getLogger(__name__)

#: Concurrent calls in one room whose calls are answered: all of a default process's threads, or half of a bigger one's.
MAX_SLOTS = 32
#: Seconds after which a call counts as slow: longer than nearly every endpoint takes, short for the jobs that wait behind it.
SLOW_AFTER = 0.3
#: Seconds between two checks for slow calls; there are none while no call is under way.
CHECK_INTERVAL = 0.1
#: Slow calls of a process, each a sleeping thread (about 0.2 MB). One customer has at most MAX_SLOTS of them, and soon only its
#: least; once there are half as many, nobody has more than its least; beyond all, rooms whose calls get no response take no more.
MAX_SLOW_CALLS = 500
#: Seconds that a job without a slot waits, where calls are quick and where they are slow or get no response, or this share of its
#: age if that is more: it is retried O(log age) times.
BUSY_SNOOZE, SLOW_SNOOZE, SNOOZE_OF_AGE = 0.5, 2.0, 0.5


class Room(NamedTuple):
    """What shares a limit on its calls. `least`: the calls that it may always have; one finds out whether it answers again."""

    #: As an error says it: "the endpoint".
    what: str
    name: Hashable
    least: int = 1
    #: How many times the usual slots it has; more than one for what customers share.
    times: int = 1


def customer_room(customer_id: Hashable) -> Room:
    """A customer's. One of its endpoints that hangs must not stop the others."""
    return Room("the customer", customer_id, least=4)


class ThreadPool(Protocol):
    """The worker's threads, which can become more and fewer (shared/broker/thread_pool.py)."""

    @property
    def size(self) -> int:
        """The threads that the process began with."""

    def add_thread(self) -> bool:
        """Adds one; False if that is not possible now."""

    def retire_thread(self) -> None:
        """Ends the calling thread after its job."""


@dataclass
class _Calls:
    """The calls in one room."""

    slots: int
    in_flight: int = 0
    slow: int = 0


class NoRoom(Snooze):
    """A room has no slot left. `is_failing`: because its calls got no responses, and not because they are many."""

    def __init__(self, room: Room, calls: _Calls, is_failing: bool, age: float) -> None:
        self.is_failing = is_failing
        is_slow = calls.slow > calls.in_flight // 2
        delay = max(SLOW_SNOOZE if is_failing or is_slow else BUSY_SNOOZE, age * SNOOZE_OF_AGE)
        super().__init__(delay, f"{room.what} has {calls.in_flight} calls without a response")


@dataclass(eq=False)
class _Call:
    rooms: list[_Calls]
    started: float
    replaced: bool = False


class Bulkhead:
    """The calls under way, by the rooms that they are in. `no_response`: the exceptions that mean that no answer came.

    `max_slots`: concurrent calls of a room, where each takes so much that the usual number is too many.
    """

    def __init__(
        self,
        threads: ThreadPool,
        max_slow_calls: int = MAX_SLOW_CALLS,
        no_response: tuple[type[Exception], ...] = (ConnectFailed, OutcomeUnknown),
        max_slots: int | None = None,
    ) -> None:
        self._threads, self._max_slow_calls, self._no_response = threads, max_slow_calls, no_response
        self._max_slots = max_slots
        self._lock = threading.Lock()
        self._rooms: dict[Room, _Calls] = {}
        self._calls: dict[_Call, None] = {}  # in the order in which they started
        self._slow_calls = 0
        self._has_calls = threading.Event()
        self._watcher: threading.Thread | None = None

    @contextmanager
    def slot(self, *rooms: Room, age: float, leaves_room: bool = False) -> Iterator[None]:
        """A slot in each room for one call, of a job `age` seconds old. Raises NoRoom if one of them has none left. A rate limit
        is asked within it, so that no turn is spent where there is no room.

        `leaves_room`: half of the slots are not for this call, but for others that are more urgent.
        """
        call = self._acquire(rooms, age, leaves_room)
        responded: bool | None = True
        try:
            yield
        except self._no_response:
            responded = False
            raise
        except RateLimited:  # nobody was called
            responded = None
            raise
        finally:
            self._release(rooms, call, responded)

    def _acquire(self, rooms: tuple[Room, ...], age: float, leaves_room: bool) -> _Call:
        with self._lock:
            calls = [self._rooms.get(room) or _Calls(self._most_slots(room)) for room in rooms]
            for room, known in zip(rooms, calls, strict=True):
                is_failing = known.slots < self._most_slots(room)
                slots = max(1, known.slots // 2) if leaves_room else known.slots
                if known.in_flight >= slots or self._is_too_crowded(room, known, is_failing):
                    raise NoRoom(room, known, is_failing, age)
            for room, known in zip(rooms, calls, strict=True):
                self._rooms[room] = known
                known.in_flight += 1
            call = _Call(calls, time.monotonic())
            self._calls[call] = None
            self._start_watching()
        return call

    def _is_too_crowded(self, room: Room, calls: _Calls, is_failing: bool) -> bool:
        """Whether the process has no slow call to spare for this room: many customers attack at once, or an outage is wide."""
        if self._slow_calls >= self._max_slow_calls:
            return is_failing
        return self._slow_calls >= self._max_slow_calls // 2 and calls.slow >= room.least

    def _most_slots(self, room: Room) -> int:
        return room.times * (self._max_slots or max(MAX_SLOTS, self._threads.size // 2))

    def _release(self, rooms: tuple[Room, ...], call: _Call, responded: bool | None) -> None:
        with self._lock:
            for room in rooms:
                self._settle(room, responded)
            del self._calls[call]
            if call.replaced:
                self._count_slow(call, -1)
                self._threads.retire_thread()

    def _settle(self, room: Room, responded: bool | None) -> None:
        calls, most = self._rooms[room], self._most_slots(room)
        calls.in_flight -= 1
        if responded is not None:
            calls.slots = min(most, calls.slots + 1) if responded else max(room.least, calls.slots // 2)
        if calls.slots == most and not calls.in_flight:
            del self._rooms[room]  # the same as one that was never called

    def _start_watching(self) -> None:
        self._has_calls.set()
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = threading.Thread(target=self._watch, name="slow-calls", daemon=True)
            with suppress(RuntimeError):  # the system has no thread to spare; the next call tries again
                self._watcher.start()

    def _watch(self) -> None:
        while self._has_calls.wait():
            time.sleep(CHECK_INTERVAL)
            with self._lock:
                try:
                    self._replace_slow_calls()
                except Exception:  # the next look tries again; without this thread, calls that hang would take all threads
                    log.exception("slow_calls_not_replaced")
                if not self._calls:
                    self._has_calls.clear()

    def _replace_slow_calls(self) -> None:
        threshold = time.monotonic() - SLOW_AFTER
        for call in self._calls:
            if call.started > threshold or self._slow_calls >= self._max_slow_calls:
                return
            if not call.replaced and self._threads.add_thread():
                call.replaced = True
                self._count_slow(call, 1)

    def _count_slow(self, call: _Call, change: int) -> None:
        self._slow_calls += change
        for room in call.rooms:
            room.slow += change
