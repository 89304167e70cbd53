"""The bulkhead's three rules, with calls that this test holds open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

import pytest

from shared.broker.redis_broker import Broker
from shared.broker.thread_pool import Crew
from shared.errors import OutcomeUnknown, PermanentError, Snooze
from shared.http.bulkhead import ROOM, Bulkhead


class Counted:
    """A crew that only counts; at most `most` may step in."""

    def __init__(self, most: int = 1_000) -> None:
        self.more, self._most = 0, most

    def step_in(self) -> bool:
        """Counts one more."""
        if self.more >= self._most:
            return False
        self.more += 1
        return True

    def step_out(self) -> None:
        """Counts one less."""
        self.more -= 1


def until(happened: Callable[[], object]) -> None:
    """Waits; fails after 10 s."""
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def unanswered(bulkhead: Bulkhead, endpoint: int, problem: Exception) -> None:
    """A call that ends so."""
    with pytest.raises(type(problem)), bulkhead.place(endpoint, age=0):
        raise problem


def hold(stack: ExitStack, bulkhead: Bulkhead, endpoint: int, calls: int) -> None:
    """Calls that last as long as the stack."""
    for _ in range(calls):
        stack.enter_context(bulkhead.place(endpoint, age=0))


def test_a_slow_call_is_replaced_while_it_lasts() -> None:
    crew = Counted()
    bulkhead = Bulkhead(crew)
    with bulkhead.place(1, age=0), bulkhead.place(2, age=0):
        until(lambda: crew.more == 2)
    assert crew.more == 0


def test_a_worker_that_ends_takes_nobody_on() -> None:
    crew = Counted(most=0)
    bulkhead = Bulkhead(crew)
    with bulkhead.place(1, age=0):
        time.sleep(0.8)
    assert crew.more == 0


def test_silence_halves_an_endpoints_room_and_answers_give_it_back() -> None:
    bulkhead = Bulkhead(Counted())
    for _ in range(10):
        unanswered(bulkhead, 1, OutcomeUnknown("silence"))
    with bulkhead.place(1, age=0), pytest.raises(Snooze), bulkhead.place(1, age=0):
        pass
    with bulkhead.place(1, age=0):
        pass
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, 3)  # one, and one for each answer
        with pytest.raises(Snooze), bulkhead.place(1, age=0):
            pass


def test_a_refusal_is_an_answer_and_endpoints_do_not_share() -> None:
    bulkhead = Bulkhead(Counted())
    unanswered(bulkhead, 1, PermanentError("HTTP 500"))
    for _ in range(10):
        unanswered(bulkhead, 2, OutcomeUnknown("silence"))
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, ROOM)
        with pytest.raises(Snooze), bulkhead.place(1, age=0):
            pass


def test_who_finds_no_room_waits_longer_the_older_it_is() -> None:
    bulkhead = Bulkhead(Counted())
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, ROOM)
        delays = []
        for age in (0, 100):
            with pytest.raises(Snooze) as told, bulkhead.place(1, age=age):
                pass
            delays.append(told.value.delay)
    assert delays == [2, 50]


def test_when_all_slow_places_are_taken_the_silent_wait_and_the_others_do_not() -> None:
    crew = Counted()
    bulkhead = Bulkhead(crew, most_slow=2)
    unanswered(bulkhead, 7, OutcomeUnknown("silence"))
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, 3)
        until(lambda: crew.more == 2)
        with pytest.raises(Snooze), bulkhead.place(7, age=0):
            pass
        hold(stack, bulkhead, 8, 1)
        assert crew.more == 2
    assert crew.more == 0


def test_counts_hold_when_many_threads_call() -> None:
    crew = Counted()
    bulkhead = Bulkhead(crew)

    def call(endpoint: int) -> None:
        for _ in range(200):
            with bulkhead.place(endpoint, age=0):
                pass

    threads = [threading.Thread(target=call, args=(number % 3,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crew.more == 0
    assert not bulkhead._calls
    assert not bulkhead._endpoints


class NoThreads:
    """Dramatiq's worker on a system that has no thread to spare."""

    def __init__(self) -> None:
        self.asked = 0

    def _add_worker(self) -> None:
        self.asked += 1
        raise RuntimeError("can't start new thread")


def test_a_system_without_threads_to_spare_is_asked_again() -> None:
    worker, crew = NoThreads(), Crew(cast(Broker, None))
    crew.after_worker_boot(cast(Broker, None), worker)
    with Bulkhead(crew).place(1, age=0):
        until(lambda: worker.asked >= 2)
    assert worker.asked >= 2
