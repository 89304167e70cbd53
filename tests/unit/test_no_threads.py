"""A system that has no thread to spare for a while: what needs one costs no job anything, and goes on later."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
import redis
from dramatiq.brokers.stub import StubBroker

from shared.broker.listener import Listener
from shared.channels import typing_indicator
from shared.channels.widget import drafts
from shared.http.bulkhead import Bulkhead
from shared.jobs.ledger import Job
from shared.jobs.worker_process import Lifecycle
from shared.queues import Queue
from shared.telemetry import metrics
from tests.unit.test_bulkhead import CountedThreads, endpoint_room
from tests.waiting import until


def without_threads(work: Callable[[], object]) -> None:
    """Does it while no thread can be started."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as system:
        system.setattr(threading.Thread, "start", refuse)
        work()


def test_half_a_worker_does_not_go_on() -> None:
    """Nobody would renew its leases, and each check would be ok."""
    with pytest.raises(SystemExit, match="no thread for leases"):
        without_threads(lambda: Lifecycle().after_worker_boot(StubBroker(), None))


def test_a_slow_call_is_replaced_once_there_are_threads_again() -> None:
    threads = CountedThreads()
    bulkhead = Bulkhead(threads)

    def call() -> None:
        with bulkhead.slot(endpoint_room(1), age=0):
            pass

    without_threads(call)
    with bulkhead.slot(endpoint_room(1), age=0):
        until(lambda: threads.added == 1)
    assert threads.added == 0


def test_counting_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_writer", None)
    without_threads(lambda: metrics.increment("typing", "widget", "shown"))
    metrics.increment("typing", "widget", "shown")
    assert cast(threading.Thread, metrics._writer).is_alive()


def test_a_draft_that_nobody_writes_costs_its_reply_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    board = drafts._Board()
    monkeypatch.setattr(board, "_keep_writing", written.set)
    draft = drafts.Draft(Job(1, 1, Queue.AI), 1)
    without_threads(lambda: board.note(draft, "We ship "))
    board.note(draft, "within two days.")
    assert written.wait(45)
    assert draft.text == "We ship within two days."


def test_who_cannot_be_shown_to_type_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing_indicator, "_pool", None)
    monkeypatch.setattr(typing_indicator, "_in_hand", Counter[str]())
    target = {"account": "nobody's", "message_id": None}
    without_threads(lambda: typing_indicator.Typing("telegram", target))
    typing_indicator._submit("widget", target, lambda _: None)
    until(lambda: not typing_indicator._in_hand)


def test_a_process_listens_once_there_is_a_thread_for_it() -> None:
    listener = Listener(redis.Redis(port=1), {}, "wake", "push")

    def start() -> None:
        with pytest.raises(RuntimeError):
            listener.start()

    without_threads(start)
    listener.start()
    assert cast(threading.Thread, listener._thread).is_alive()
    listener.close()
