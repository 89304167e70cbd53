"""Natural batching: what comes while one batch is under way goes with the next; nobody fails for a neighbour."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from shared.db import batching
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
    assert begun.wait(45)
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
        assert go.wait(45)
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
        assert go.wait(45)
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


def test_one_round_trip_without_an_answer_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "OVERDUE", 0.05)
    begun, go = threading.Event(), threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        if 0 in items:
            begun.set()
            assert go.wait(90)
        return [item * 2 for item in items]

    batch = Batch(run)
    with ThreadPoolExecutor(41) as pool:
        stuck = pool.submit(batch, 0)
        assert begun.wait(45)
        others = [pool.submit(batch, number) for number in range(1, 41)]
        assert [call.result(45) for call in others] == [2 * number for number in range(1, 41)]
        assert not stuck.done()
        go.set()
        assert stuck.result(45) == 0
    assert batch(7) == 14
    assert (batch._waiting, batch._leaders) == ([], 0)


def test_calls_that_all_lose_their_patience_at_once_are_each_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "OVERDUE", 0.001)
    counted: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        assert items
        time.sleep(0.001)
        counted.extend(items)
        return [item * 2 for item in items]

    batch = Batch(run, limit=3)
    numbers = range(2_000)
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(batch, numbers)) == [2 * number for number in numbers]
    assert sorted(counted) == list(numbers)
    assert (batch._waiting, batch._leaders) == ([], 0)
