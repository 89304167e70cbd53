"""Whose turn it is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from shared import queues
from shared.broker.fair_queue import OUTSIDE, SHARES, TOGETHER, WEIGHTS, FairQueue, thread_limits
from shared.queues import PRIORITIES, Queue


@dataclass(frozen=True)
class Message:
    """What the queue reads of a message: which Redis queue it came from, and whose it is."""

    queue_name: str
    customer: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """As shared/broker/enqueue.py makes them."""
        return {} if self.customer is None else {"customer": self.customer}


@dataclass(frozen=True)
class Item:
    """As the worker's: a priority, a message, and something to tell them apart."""

    priority: int
    number: int = 0
    message: Message = Message("ai-processing.basic")

    @property
    def stage(self) -> str:
        """Where it comes from."""
        return queues.stage(self.message.queue_name)


def served(queue: FairQueue, count: int) -> list[int]:
    """The priorities of the next so many."""
    return [queue.get_nowait().priority for _ in range(count)]


def filled(*lanes: int, each: int = 100) -> FairQueue:
    """A queue with so many items in each of these lanes, the worst first."""
    queue = FairQueue()
    for lane in sorted(lanes, reverse=True):
        for number in range(each):
            queue.put(Item(lane, number))
    return queue


def put(queue: FairQueue, stage: Queue, count: int = 100) -> None:
    """So many items of a stage."""
    for number in range(count):
        queue.put(Item(queues.LOWEST, number, Message(queues.lane(stage, queues.LOWEST))))


#: A thread that takes it ends. It has no weight, so it goes before all others.
END = Item(0)


class Threads:
    """Threads that each take an item and keep it until they are told to go on; then each takes the next one."""

    def __init__(self, queue: FairQueue, count: int) -> None:
        self._queue, self._taken = queue, SimpleQueue[tuple[Item, threading.Event]]()
        self._kept: list[threading.Event] = []
        self._is_over = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (item := self._queue.get()) is not END:
            go_on = threading.Event()
            self._taken.put((item, go_on))
            if not self._is_over:
                go_on.wait()
            self._queue.task_done()

    def end(self) -> None:
        """Lets all threads end, and waits for them."""
        self._is_over = True
        for _ in self._threads:
            self._queue.put(END)
        while not self._taken.empty():
            self._kept.append(self._taken.get()[1])
        self.go_on()
        for thread in self._threads:
            thread.join(45)
        assert not any(thread.is_alive() for thread in self._threads)

    def take(self, count: int) -> Counter[str]:
        """Waits until so many items more are taken; their stages."""
        taken = [self._taken.get(timeout=45) for _ in range(count)]
        self._kept += [go_on for _, go_on in taken]
        return Counter(item.stage for item, _ in taken)

    def take_nothing(self) -> bool:
        """Whether no further item is taken, although there are threads without any."""
        time.sleep(0.1)
        return self._taken.empty()

    def go_on(self) -> None:
        """Lets the threads end all items that were taken until now."""
        while self._kept:
            self._kept.pop().set()


StartThreads = Callable[[FairQueue, int], Threads]


@pytest.fixture
def start_threads() -> Iterator[StartThreads]:
    """Starts threads, which end with the test."""
    started = list[Threads]()

    def start(queue: FairQueue, count: int) -> Threads:
        started.append(Threads(queue, count))
        return started[-1]

    yield start
    for threads in started:
        threads.end()


def test_each_lane_has_a_weight() -> None:
    assert tuple(WEIGHTS) == (*PRIORITIES, queues.BEHIND)
    assert list(WEIGHTS.values()) == sorted(WEIGHTS.values(), reverse=True)


def test_full_lanes_share_by_weight() -> None:
    assert Counter(served(filled(1, 3, 5), 60)) == {1: 45, 3: 12, 5: 3}


def test_a_premium_job_that_comes_is_next_however_many_wait() -> None:
    queue = filled(5)
    served(queue, 50)
    queue.put(Item(1))
    assert served(queue, 2) == [1, 5]


def test_an_idle_lane_saves_no_turns_up() -> None:
    queue = filled(1, each=150)
    served(queue, 90)
    for number in range(20):
        queue.put(Item(5, number))
    assert Counter(served(queue, 32)) == {1: 30, 5: 2}


def test_a_lane_alone_has_all_turns_in_order() -> None:
    queue = filled(5, each=10)
    assert [queue.get_nowait().number for _ in range(10)] == list(range(10))
    with pytest.raises(Empty):
        queue.get_nowait()
    assert queue.empty()


def test_a_dead_letter_goes_before_all() -> None:
    queue = filled(1, 5)
    queue.put(Item(0))
    assert served(queue, 1) == [0]


ALL_STAGES = [stage.value for stage in Queue]


def test_stages_take_turns_whatever_their_lanes() -> None:
    queue = FairQueue()
    for number in range(100):
        queue.put(Item(1, number, Message("ai-processing.premium")))
    put(queue, Queue.INCOMING)
    put(queue, Queue.WEBHOOKS)
    assert Counter(queue.get_nowait().stage for _ in range(30)) == {
        "ai-processing": 10,
        "incoming-messages": 10,
        "webhook-delivery": 10,
    }


def test_a_process_of_one_stage_gives_it_all_threads(start_threads: StartThreads) -> None:
    assert all(thread_limits(32, [stage]) == {} for stage in ALL_STAGES)
    queue = FairQueue(thread_limits(4, ["ai-processing"] * 3))
    put(queue, Queue.AI)
    assert start_threads(queue, 4).take(4) == {"ai-processing": 4}


@pytest.mark.parametrize("stage", SHARES)
def test_a_stage_that_waits_outside_never_has_all_threads(stage: Queue, start_threads: StartThreads) -> None:
    limits = thread_limits(16, ALL_STAGES)
    queue = FairQueue(limits)
    put(queue, stage)
    threads = start_threads(queue, 16)
    assert threads.take(limits[stage]) == {stage: limits[stage]}
    assert threads.take_nothing()
    put(queue, Queue.INCOMING, 1)
    assert threads.take(1) == {"incoming-messages": 1}
    threads.go_on()
    assert threads.take(limits[stage]) == {stage: limits[stage]}


def test_all_stages_that_wait_outside_leave_threads_to_the_others(start_threads: StartThreads) -> None:
    limits = thread_limits(16, ALL_STAGES)
    queue = FairQueue(limits)
    for stage in SHARES:
        put(queue, stage)
    threads = start_threads(queue, 16)
    threads.take(limits[OUTSIDE])
    assert threads.take_nothing()
    put(queue, Queue.OUTGOING, 5)
    assert threads.take(2) == {"outgoing-messages": 2}


@pytest.mark.parametrize("stage", [Queue.INCOMING, Queue.OUTGOING])
def test_a_stage_that_waits_for_nobody_is_not_limited(stage: Queue, start_threads: StartThreads) -> None:
    queue = FairQueue(thread_limits(4, ALL_STAGES))
    put(queue, stage)
    assert start_threads(queue, 4).take(4) == {stage: 4}


def test_each_stage_has_a_thread_in_the_smallest_process() -> None:
    assert min(thread_limits(1, ALL_STAGES).values()) == 1


def test_threads_that_were_added_for_a_stage_are_its_own(start_threads: StartThreads) -> None:
    limits = thread_limits(8, ALL_STAGES)
    queue = FairQueue(limits)
    put(queue, Queue.WEBHOOKS)
    put(queue, Queue.AI)
    queue.add_threads(Queue.WEBHOOKS, 4)
    threads = start_threads(queue, 16)
    assert threads.take(10) == {"webhook-delivery": limits[Queue.WEBHOOKS] + 4, "ai-processing": limits[Queue.AI]}
    assert threads.take_nothing()
    queue.add_threads(Queue.WEBHOOKS, -4)
    assert threads.take_nothing()
    threads.go_on()
    assert threads.take(6) == {"webhook-delivery": limits[Queue.WEBHOOKS], "ai-processing": limits[Queue.AI]}


def test_a_shutdown_gets_what_waits_for_a_thread_too(start_threads: StartThreads) -> None:
    queue = FairQueue(thread_limits(8, ALL_STAGES))
    put(queue, Queue.AI, 20)
    start_threads(queue, 8).take(4)
    assert [item.number for item in queue.drain()] == list(range(4, 20))
    assert queue.empty()


def customers(queue: FairQueue, count: int) -> list[int | None]:
    """Whose the next so many are."""
    return [queue.get_nowait().message.customer for _ in range(count)]


def put_of(queue: FairQueue, customer: int | None, count: int, lane: int = queues.LOWEST) -> None:
    """So many items of a customer."""
    for number in range(count):
        queue.put(Item(lane, number, Message("x", customer)))


@pytest.mark.parametrize("lane", PRIORITIES)
def test_a_customer_who_sends_one_message_is_next_but_one(lane: int) -> None:
    queue = FairQueue()
    put_of(queue, 1, 48, lane)
    assert customers(queue, 3) == [1, 1, 1]
    put_of(queue, 2, 1, lane)
    assert 2 in customers(queue, 2)


def test_customers_take_turns() -> None:
    queue = FairQueue()
    put_of(queue, 1, 30)
    put_of(queue, 2, 3)
    put_of(queue, None, 2)  # a stock client's
    assert customers(queue, 9) == [1, 2, None, 1, 2, None, 1, 2, 1]
    put_of(queue, 2, 1)
    assert customers(queue, 3) == [1, 2, 1]


def test_a_customers_messages_stay_in_order() -> None:
    queue = FairQueue()
    for number in range(20):
        queue.put(Item(5, number, Message("x", number % 2)))
    taken = [queue.get_nowait() for _ in range(20)]
    for customer in (0, 1):
        assert [item.number for item in taken if item.message.customer == customer] == list(range(customer, 20, 2))


def test_a_premium_flood_of_one_customer_does_not_stop_the_basic_lane() -> None:
    queue = FairQueue()
    put_of(queue, 1, 200, lane=1)
    put_of(queue, 2, 5, lane=5)
    assert customers(queue, 33).count(2) >= 2, "one of sixteen"


def together(*stages: Queue) -> FairQueue:
    """A queue of a process whose threads do these stages' items together."""
    return FairQueue(together=set(stages))


def numbers(items: Iterable[Item]) -> list[int]:
    """What tells them apart."""
    return [item.number for item in items]


def test_one_thread_takes_together_what_waits_of_a_stage() -> None:
    queue = together(Queue.INCOMING)
    put(queue, Queue.INCOMING, TOGETHER + 5)
    put(queue, Queue.WEBHOOKS, 5)
    assert queue.get().number == 0
    assert numbers(queue.companions()) == list(range(1, TOGETHER))
    for item in queue.companions():
        queue.companion_done(item)
    queue.task_done()
    assert queue.companions() == []
    assert Counter(queue.get_nowait().stage for _ in range(2)) == {"incoming-messages": 1, "webhook-delivery": 1}
    assert numbers(queue.companions()) == list(range(TOGETHER + 1, TOGETHER + 5))


def test_companions_that_were_not_done_are_done_alone_and_first() -> None:
    queue = together(Queue.INCOMING)
    put(queue, Queue.INCOMING, 4)
    queue.get()
    first, *_ = queue.companions()
    queue.companion_done(first)
    queue.task_done()
    put(queue, Queue.INCOMING, 1)
    for number in (2, 3):
        assert queue.get().number == number
        assert queue.companions() == []
        queue.task_done()
    assert queue.get().number == 0, "the one that came later"


def test_all_that_was_put_is_counted_as_done() -> None:
    queue = together(Queue.INCOMING)
    put(queue, Queue.INCOMING, 4)
    queue.get()
    queue.companion_done(queue.companions()[0])
    queue.task_done()
    while not queue.empty():
        queue.get()
        queue.task_done()
    assert queue.unfinished_tasks == 0


def test_no_item_waits_while_threads_sleep() -> None:
    queue, done = together(Queue.INCOMING, Queue.OUTGOING), SimpleQueue[Item]()

    def work() -> None:
        while (own := queue.get()) is not END:
            items = [own, *queue.companions()]
            for number, item in enumerate(items):
                if number and item.number % 3:
                    queue.companion_done(item)
                if not number or item.number % 3:
                    done.put(item)
            queue.task_done()  # what is left goes back

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for stage in (Queue.INCOMING, Queue.OUTGOING, Queue.WEBHOOKS) * 20:
        put(queue, stage, 10)
        time.sleep(0.001)  # now and then all threads sleep
    assert Counter(done.get(timeout=45).stage for _ in range(600)) == dict.fromkeys(
        ("incoming-messages", "outgoing-messages", "webhook-delivery"), 200
    )
    for _ in threads:
        queue.put(END)
    for thread in threads:
        thread.join(45)
