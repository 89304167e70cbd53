"""scripts/chaos kills workers that live, and those that ask models after they have answered and while a call is reserved."""

from __future__ import annotations

import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from scripts.local.chaos import spending, takeovers
from scripts.local.chaos.disruptions import Target, workers_of
from scripts.local.chaos.outside import Outside
from scripts.local.embedded import Services
from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from shared.errors import ServiceDown
from tests.builders import World
from tests.waiting import until

#: Instead of a supervisor and its worker: a program that starts another whenever it has ended, and one that waits for no child.
RESTARTS = "sh -c 'while :; do sleep 600; done'"
WAITS_FOR_NONE = "sh -c 'sleep 600 & true & exec sleep 600'"


@contextmanager
def target(
    line: str, folder: Path, services: Services, simulator: Simulator, answered: Callable[[], float] = lambda: 0
) -> Iterator[Target]:
    """A system whose process type `ai` is this line."""
    procfile = folder / "Procfile"
    procfile.write_text(f"ai: {line}\n", encoding="utf-8")
    processes = ProcessManager(procfile, os.environ, folder)
    processes.start()
    try:
        yield Target(services, processes, ["ai"], random.Random(1), lambda _: None, answered, Outside(simulator, [], None))
    finally:
        processes.stop()


def test_the_dead_are_not_killed_again(tmp_path: Path, services: Services, simulator: Simulator) -> None:
    """They counted as injections, and disrupted nothing."""
    with target(WAITS_FOR_NONE, tmp_path, services, simulator) as system:
        until(lambda: psutil.STATUS_ZOMBIE in _children(system))
        assert [psutil.Process(pid).name() for pid in workers_of(system, "ai")] == ["sleep"]


def _children(system: Target) -> list[str]:
    return [psutil.Process(pid).status() for pid in system.processes.pids("ai")[1:]]


def test_a_worker_is_killed_once_it_has_answered_and_while_a_call_is_reserved(
    world: World, tmp_path: Path, services: Services, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine it died while it started, each time, of what those before it had left reserved."""
    monkeypatch.setattr(spending, "PAUSE", 0.0)
    answers: list[int] = []
    with target(RESTARTS, tmp_path, services, simulator, lambda: len(answers)) as system, killing(system):
        for number in (1, 2):
            until(lambda: workers_of(system, "ai"))
            _reserve(world.customer)
            assert len(system.injections) == number - 1, "nobody was answered"
            answers.append(number)
            until(lambda number=number: len(system.injections) == number)
        answers.append(3)
        until(lambda: workers_of(system, "ai"))
    assert len(system.injections) == 2, "no call was reserved after the second"


@contextmanager
def killing(system: Target) -> Iterator[None]:
    """The disruption, for the length of the block."""
    thread = threading.Thread(target=spending.kill_ai, args=(system,))
    thread.start()
    try:
        yield
    finally:
        system.stopping.set()
        thread.join()


def _reserve(customer_id: int) -> None:
    values = "%s, %s, 'http://provider', 'model', 1, 1, 0, 0"
    columns = "id, customer_id, base_url, model, prompt_tokens, completion_tokens, seconds, money"
    db.rows(f"insert into budget_reservation ({columns}) values ({values})", [str(uuid.uuid4()), customer_id])


def test_a_person_outlives_an_outage_that_the_call_itself_gave_up() -> None:
    """Its thread ended with the first ServiceDown, and the takeovers that were missing at the end said nothing of why."""
    answers: list[ServiceDown | int] = [ServiceDown("PostgreSQL: crashed"), 7]

    def act() -> Iterator[int]:
        answer = answers.pop(0)
        if isinstance(answer, ServiceDown):
            raise answer
        yield answer

    assert takeovers._tried(act) == [7]
