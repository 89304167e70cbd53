"""The bulkhead's three rules, with calls that this test holds open."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import cast

import pytest
from dramatiq.brokers.stub import StubBroker

from shared.broker.redis_broker import Broker
from shared.broker.thread_pool import ThreadPool
from shared.errors import OutcomeUnknown, PermanentError, RateLimited, Snooze
from shared.http import ConnectFailed
from shared.http import bulkhead as bulkheads
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, NoRoom, Room, customer_room
from shared.queues import Queue
from tests.waiting import until


class CountedThreads:
    """A thread pool that only counts; at most `limit` threads can be added."""

    size = 8

    def __init__(self, limit: int = 1_000) -> None:
        self.added, self._limit = 0, limit

    def add_thread(self) -> bool:
        """Counts one more."""
        if self.added >= self._limit:
            return False
        self.added += 1
        return True

    def retire_thread(self) -> None:
        """Counts one less."""
        self.added -= 1


class ThreadsThatFailOnce(CountedThreads):
    """The first time that one is wanted, an error of ours."""

    def add_thread(self) -> bool:
        """Counts one more, but for the first."""
        if not hasattr(self, "has_failed"):
            self.has_failed = True
            raise ValueError("an error of ours")
        return super().add_thread()


def endpoint_room(endpoint: int) -> Room:
    """An endpoint's."""
    return Room("the endpoint", endpoint)


def failed_call(bulkhead: Bulkhead, endpoint: int, problem: Exception) -> None:
    """A call that ends with this problem."""
    with pytest.raises(type(problem)), bulkhead.slot(endpoint_room(endpoint), age=0):
        raise problem


def hold(stack: ExitStack, bulkhead: Bulkhead, endpoint: int, calls: int) -> None:
    """Calls that last as long as the stack."""
    for _ in range(calls):
        stack.enter_context(bulkhead.slot(endpoint_room(endpoint), age=0))


def test_a_slow_call_is_replaced_while_it_lasts() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads)
    with bulkhead.slot(endpoint_room(1), age=0), bulkhead.slot(endpoint_room(2), age=0):
        until(lambda: threads.added == 2)
    assert threads.added == 0


def test_a_worker_that_shuts_down_adds_no_thread() -> None:
    threads = CountedThreads(limit=0)
    bulkhead = Bulkhead(threads)
    with bulkhead.slot(endpoint_room(1), age=0):
        time.sleep(0.8)
    assert threads.added == 0


def test_calls_without_a_response_halve_an_endpoints_slots_and_responses_give_them_back() -> None:
    bulkhead = Bulkhead(CountedThreads())
    for _ in range(10):
        failed_call(bulkhead, 1, OutcomeUnknown("silence"))
    with bulkhead.slot(endpoint_room(1), age=0), pytest.raises(Snooze), bulkhead.slot(endpoint_room(1), age=0):
        pass
    with bulkhead.slot(endpoint_room(1), age=0):
        pass
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, 3)  # one, and one for each response
        with pytest.raises(Snooze), bulkhead.slot(endpoint_room(1), age=0):
            pass


def test_a_rate_limit_of_our_own_says_nothing_about_the_endpoint() -> None:
    bulkhead = Bulkhead(CountedThreads())
    for _ in range(10):
        failed_call(bulkhead, 1, ConnectFailed("no"))
    for _ in range(10):
        failed_call(bulkhead, 1, RateLimited(1.0, "rate limit of endpoint 1"))
    with bulkhead.slot(endpoint_room(1), age=0), pytest.raises(NoRoom), bulkhead.slot(endpoint_room(1), age=0):
        pass


def test_a_refusal_is_a_response_and_endpoints_do_not_share_slots() -> None:
    bulkhead = Bulkhead(CountedThreads())
    failed_call(bulkhead, 1, PermanentError("HTTP 500"))
    for _ in range(10):
        failed_call(bulkhead, 2, OutcomeUnknown("silence"))
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, MAX_SLOTS)
        with pytest.raises(Snooze), bulkhead.slot(endpoint_room(1), age=0):
            pass


def test_a_job_without_a_slot_waits_longer_the_older_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulkheads, "SLOW_AFTER", 600.0)  # however long this machine stands still
    bulkhead = Bulkhead(CountedThreads())
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, MAX_SLOTS)
        delays = []
        for age in (0, 100):
            with pytest.raises(Snooze) as caught, bulkhead.slot(endpoint_room(1), age=age):
                pass
            delays.append(caught.value.delay)
    assert delays == [0.5, 50]
    failed_call(bulkhead, 2, OutcomeUnknown("silence"))
    with ExitStack() as stack:
        hold(stack, bulkhead, 2, MAX_SLOTS // 2)
        with pytest.raises(NoRoom) as failing, bulkhead.slot(endpoint_room(2), age=0):
            pass
    assert (failing.value.delay, failing.value.is_failing) == (2, True)


def test_a_job_without_a_slot_comes_back_later_where_calls_are_slow() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads)
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, MAX_SLOTS)
        until(lambda: threads.added == MAX_SLOTS)
        with pytest.raises(NoRoom) as caught, bulkhead.slot(endpoint_room(1), age=0):
            pass
    assert (caught.value.delay, caught.value.is_failing) == (2, False)
    assert not bulkhead._rooms


def test_what_customers_share_has_more_room_and_keeps_enough_for_the_others() -> None:
    bulkhead = Bulkhead(CountedThreads())
    shared = Room("the provider", "llm.example", least=MAX_SLOTS, times=4)
    with ExitStack() as stack:
        for number in range(4 * MAX_SLOTS):
            stack.enter_context(bulkhead.slot(shared, customer_room(number), age=0))
        with pytest.raises(NoRoom, match="the provider has 128 calls"), bulkhead.slot(shared, customer_room(500), age=0):
            pass
    for _ in range(20):
        with pytest.raises(OutcomeUnknown), bulkhead.slot(shared, customer_room(1), age=0):
            raise OutcomeUnknown("silence")
    with ExitStack() as stack:
        for number in range(2, 2 + MAX_SLOTS):
            stack.enter_context(bulkhead.slot(shared, customer_room(number), age=0))


def test_at_the_limit_of_slow_calls_failing_endpoints_wait_and_the_others_do_not() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads, max_slow_calls=2)
    failed_call(bulkhead, 7, OutcomeUnknown("silence"))
    with ExitStack() as stack:
        hold(stack, bulkhead, 1, 3)
        until(lambda: threads.added == 2)
        with pytest.raises(Snooze), bulkhead.slot(endpoint_room(7), age=0):
            pass
        hold(stack, bulkhead, 8, 1)
        assert threads.added == 2
    assert threads.added == 0


def test_when_many_customers_hang_each_has_few_slow_calls_and_the_others_go_on() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads, max_slow_calls=20)
    with ExitStack() as stack:
        assert hanging(stack, bulkhead, 1, range(10)) == []
        until(lambda: threads.added == 10)
        [refusal] = hanging(stack, bulkhead, 1, range(10, 11))
        assert refusal == "the customer has 10 calls without a response"
        assert hanging(stack, bulkhead, 2, range(20, 24)) == []
        until(lambda: threads.added == 14)
        assert len(hanging(stack, bulkhead, 2, range(24, 30))) == 6
        for endpoint in range(100, 140):
            with bulkhead.slot(endpoint_room(endpoint), customer_room(3), age=0):
                pass
    assert threads.added == 0


def test_counts_hold_when_many_threads_call() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads)

    def call(endpoint: int) -> None:
        for _ in range(200):
            with bulkhead.slot(endpoint_room(endpoint), age=0):
                pass

    callers = [threading.Thread(target=call, args=(number % 3,)) for number in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert threads.added == 0
    assert not bulkhead._calls
    assert not bulkhead._rooms


def hanging(stack: ExitStack, bulkhead: Bulkhead, customer: int, endpoints: range) -> list[str]:
    """A call to each of a customer's endpoints, which lasts as long as the stack; what was said to those that found no room."""
    refusals = []
    for endpoint in endpoints:
        try:
            stack.enter_context(bulkhead.slot(endpoint_room(endpoint), customer_room(customer), age=0))
        except Snooze as refusal:
            refusals.append(str(refusal))
    return refusals


def test_a_customer_with_many_endpoints_has_no_more_room_than_one_with_one() -> None:
    bulkhead = Bulkhead(CountedThreads())
    with ExitStack() as stack:
        refusals = hanging(stack, bulkhead, 1, range(620))
        assert len(refusals) == 620 - MAX_SLOTS
        assert set(refusals) == {f"the customer has {MAX_SLOTS} calls without a response"}
        assert hanging(stack, bulkhead, 2, range(1_000, 1_001)) == []


def test_a_customer_all_of_whose_endpoints_hang_keeps_few_threads_and_gets_the_others_back() -> None:
    bulkhead = Bulkhead(CountedThreads())
    for endpoint in range(40):
        with pytest.raises(OutcomeUnknown), bulkhead.slot(endpoint_room(endpoint), customer_room(1), age=0):
            raise OutcomeUnknown("silence")
    with ExitStack() as stack:
        assert len(hanging(stack, bulkhead, 1, range(100, 140))) == 36
    for endpoint in range(100, 110):
        with bulkhead.slot(endpoint_room(endpoint), customer_room(1), age=0):
            pass
    with ExitStack() as stack:
        assert len(hanging(stack, bulkhead, 1, range(100, 140))) < 26


def test_one_endpoint_that_hangs_does_not_stop_its_customers_others() -> None:
    bulkhead = Bulkhead(CountedThreads())
    for _ in range(10):
        with pytest.raises(ConnectFailed), bulkhead.slot(endpoint_room(1), customer_room(1), age=0):
            raise ConnectFailed("refused")
    with ExitStack() as stack:
        assert hanging(stack, bulkhead, 1, range(1, 2)) == []
        [refusal] = hanging(stack, bulkhead, 1, range(1, 2))
        assert refusal == "the endpoint has 1 calls without a response"
        assert hanging(stack, bulkhead, 1, range(2, 5)) == []


def test_a_call_that_is_refused_takes_no_room_anywhere() -> None:
    bulkhead = Bulkhead(CountedThreads())
    with ExitStack() as stack:
        hanging(stack, bulkhead, 1, range(MAX_SLOTS))
        assert hanging(stack, bulkhead, 1, range(700, 701))
        assert bulkhead._rooms.keys() & {endpoint_room(700)} == set()


def test_a_process_with_many_threads_gives_a_room_half_of_them() -> None:
    threads = CountedThreads()
    threads.size = 200
    bulkhead = Bulkhead(threads)
    with ExitStack() as stack:
        assert len(hanging(stack, bulkhead, 1, range(620))) == 520


class NoThreads:
    """Dramatiq's worker on a system that has no thread to spare."""

    worker_threads = 8

    def __init__(self) -> None:
        self.asked = 0

    def _add_worker(self) -> None:
        self.asked += 1
        raise RuntimeError("can't start new thread")


def test_a_system_without_threads_to_spare_is_asked_again() -> None:
    worker, threads = NoThreads(), ThreadPool(cast(Broker, None), Queue.WEBHOOKS)
    threads.after_worker_boot(cast(Broker, None), worker)
    with Bulkhead(threads).slot(endpoint_room(1), age=0):
        until(lambda: worker.asked >= 2)
    assert worker.asked >= 2


def test_the_stages_of_a_process_learn_of_its_worker_and_dramatiq_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    broker, worker = StubBroker(middleware=[]), NoThreads()
    pools = [ThreadPool.of(cast(Broker, broker), stage) for stage in (Queue.AI, Queue.WEBHOOKS)]
    broker.emit_after("worker_boot", worker)
    assert [pool.add_thread() for pool in pools] == [False, False]
    assert worker.asked == 2
    broker.emit_before("worker_shutdown", worker)
    assert [pool.add_thread() for pool in pools] == [False, False]
    assert worker.asked == 2
    assert not caplog.records


def test_a_call_that_is_not_urgent_leaves_half_of_the_room() -> None:
    bulkhead = Bulkhead(CountedThreads())
    with ExitStack() as stack:
        for _ in range(MAX_SLOTS // 2):
            stack.enter_context(bulkhead.slot(endpoint_room(1), age=0, leaves_room=True))
        with pytest.raises(NoRoom), bulkhead.slot(endpoint_room(1), age=0, leaves_room=True):
            pass
        hold(stack, bulkhead, 1, MAX_SLOTS // 2)
    for _ in range(10):  # it gets no response: one slot is left, which anybody may have
        failed_call(bulkhead, 1, OutcomeUnknown("x"))
    with bulkhead.slot(endpoint_room(1), age=0, leaves_room=True):
        pass


def test_an_error_ends_no_watch_over_slow_calls(caplog: pytest.LogCaptureFixture) -> None:
    threads = ThreadsThatFailOnce()
    with Bulkhead(threads).slot(endpoint_room(1), age=0):
        until(lambda: threads.added)
    assert "slow_calls_not_replaced" in caplog.text
