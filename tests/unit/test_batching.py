"""Natural batching: what comes while one batch is under way goes with the next; nobody fails for a neighbour."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from shared.db.batching import Batch
from shared.errors import ServiceDown


def test_who_comes_alone_goes_at_once() -> None:
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [item * 2 for item in items]

    assert Batch(run)(21) == 42
    assert batches == [[21]]


def _crowd(batch: Batch[int, int], begun: threading.Event, go: threading.Event, numbers: range) -> list[Future[int]]:
    """One call that is under way, and the others waiting behind it when it is let go."""
    pool = ThreadPoolExecutor(len(numbers))
    first = pool.submit(batch, numbers[0])
    assert begun.wait(5)
    others = [pool.submit(batch, number) for number in numbers[1:]]
    while len(batch._waiting) < len(others):
        pass
    go.set()
    pool.shutdown()
    return [first, *others]


def _held_up(
    fail: int | None = None, problem: type[Exception] = ValueError
) -> tuple[Batch[int, int], list[list[int]], list[Future[int]]]:
    begun, go = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        begun.set()
        assert go.wait(5)
        if fail in items:
            raise problem(f"{fail} is bad")
        return [item * 2 for item in items]

    batch = Batch(run)
    return batch, batches, _crowd(batch, begun, go, range(6))


def test_those_who_wait_go_together_and_each_gets_its_own() -> None:
    _, batches, calls = _held_up()
    assert [call.result() for call in calls] == [0, 2, 4, 6, 8, 10]
    assert [sorted(items) for items in batches] == [[0], [1, 2, 3, 4, 5]]


def test_a_bad_item_fails_alone() -> None:
    batch, _, calls = _held_up(fail=3)
    with pytest.raises(ValueError, match="3 is bad"):
        calls[3].result()
    assert [call.result() for call in calls[:3] + calls[4:]] == [0, 2, 4, 8, 10]
    assert batch(7) == 14, "the next one leads again"


def test_an_outage_that_begins_among_single_items_is_everybodys_after_it() -> None:
    begun, go = threading.Event(), threading.Event()
    asked: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        asked.append(len(items))
        begun.set()
        assert go.wait(5)
        if len(items) > 1:
            raise ValueError("a bad neighbour")
        if items != [0]:
            raise ServiceDown("postgres does not answer")
        return items

    for call in _crowd(Batch(run), begun, go, range(4))[1:]:
        with pytest.raises(ServiceDown):
            call.result()
    assert asked == [1, 3, 1]


def test_an_outage_is_everybodys_and_is_not_asked_again() -> None:
    _, batches, calls = _held_up(fail=3, problem=ServiceDown)
    for call in calls[1:]:
        with pytest.raises(ServiceDown):
            call.result()
    assert len(batches) == 2
