"""What hangs holds no room of the others: a bulkhead around calls to addresses that are not ours (Nygard, "Release It!").

Three rules, all of one process, without a word to anybody:

- A call that takes long stops counting: a thread is added for the one that waits. So endpoints of which nobody
  knows yet that they hang may hang by the hundred.
- Each endpoint has a number of calls that may be under way, halved by each that gets no answer, one more with each that does
  (AIMD, as TCP does). A dead endpoint soon has one, which is also the probe that finds it well again.
- What finds no room is put off, for longer the older it is, and burns no attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.errors import OutcomeUnknown, Snooze
from shared.http import ConnectFailed

#: Calls to one endpoint that may be under way: all of a default process' threads.
ROOM = 32
#: Seconds after which a call counts as slow: longer than nearly every endpoint takes, short for those who wait behind it.
SLOW_AFTER = 0.5
#: Seconds between looks at the calls under way; nobody looks when there are none.
LOOK = 0.1
#: Slow calls of a process, a sleeping thread (about 0.2 MB) each; then endpoints that gave no answer wait.
MOST_SLOW = 500
#: What finds no room waits so many seconds, or this part of its age: looks at a backlog of n cost n times log(hour).
PUT_OFF, PUT_OFF_OF_AGE = 2.0, 0.5


class Crew(Protocol):
    """Who works: a thread more, or this thread the last time."""

    def step_in(self) -> bool:
        """One more; False if there can be none now."""

    def step_out(self) -> None:
        """The calling thread ends when its job is done."""


@dataclass
class _Endpoint:
    room: int = ROOM
    under_way: int = 0


@dataclass(eq=False)
class _Call:
    began: float
    replaced: bool = False


class Bulkhead:
    """Calls by the endpoint that they go to."""

    def __init__(self, crew: Crew, most_slow: int = MOST_SLOW) -> None:
        self._crew, self._most_slow = crew, most_slow
        self._lock = threading.Lock()
        self._endpoints: dict[int, _Endpoint] = {}
        self._calls: dict[_Call, None] = {}  # in the order in which they began
        self._slow = 0
        self._busy = threading.Event()
        self._watcher: threading.Thread | None = None

    @contextmanager
    def place(self, endpoint: int, age: float) -> Iterator[None]:
        """Room for one call, of a job `age` seconds old. Raises Snooze if the endpoint has none left."""
        call = self._enter(endpoint, age)
        answered = True
        try:
            yield
        except (ConnectFailed, OutcomeUnknown):
            answered = False
            raise
        finally:
            self._leave(endpoint, call, answered)

    def _enter(self, endpoint: int, age: float) -> _Call:
        with self._lock:
            known = self._endpoints.get(endpoint) or _Endpoint()
            full = known.room < ROOM and self._slow >= self._most_slow
            if full or known.under_way >= known.room:
                raise Snooze(max(PUT_OFF, age * PUT_OFF_OF_AGE), f"the endpoint has {known.under_way} calls without an answer")
            self._endpoints[endpoint] = known
            known.under_way += 1
            call = _Call(time.monotonic())
            self._calls[call] = None
            self._watch()
        return call

    def _leave(self, endpoint: int, call: _Call, answered: bool) -> None:
        with self._lock:
            known = self._endpoints[endpoint]
            known.under_way -= 1
            known.room = min(ROOM, known.room + 1) if answered else max(1, known.room // 2)
            if known.room == ROOM and not known.under_way:
                del self._endpoints[endpoint]  # as good as new
            del self._calls[call]
            if call.replaced:
                self._slow -= 1
                self._crew.step_out()

    def _watch(self) -> None:
        self._busy.set()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._look_out, name="slow-calls", daemon=True)
            self._watcher.start()

    def _look_out(self) -> None:
        while self._busy.wait():
            time.sleep(LOOK)
            with self._lock:
                self._replace_slow()
                if not self._calls:
                    self._busy.clear()

    def _replace_slow(self) -> None:
        before = time.monotonic() - SLOW_AFTER
        for call in self._calls:
            if call.began > before or self._slow >= self._most_slow:
                return
            if not call.replaced and self._crew.step_in():
                call.replaced = True
                self._slow += 1
