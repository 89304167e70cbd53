"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from queue import Empty

import pytest

from shared.broker.fair_queue import WEIGHTS, FairQueue
from shared.queues import PRIORITIES


@dataclass(frozen=True)
class Item:
    """As the worker's: a priority, and something to tell them apart."""

    priority: int
    number: int = 0


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


def test_each_lane_has_a_weight() -> None:
    assert tuple(WEIGHTS) == PRIORITIES
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
