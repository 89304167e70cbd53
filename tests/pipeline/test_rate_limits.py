"""A limit with real workers: the outside world sees no more than it, everything arrives, nothing is burnt."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import queues
from tests.builders import World
from tests.pipeline.test_workers import idle
from tests.waiting import until

#: For how many seconds' worth of calls the limit is looked at, and how many of them may pass between a worker's asking and its
#: request's arrival: a loaded machine, and the AI's first call in a process builds its client. Without limits all of these arrive
#: within a second; without that of numbers as fast as the AI is asked, in two and a half.
WINDOW, JITTER = {"graph": 5, "ai": 2}, {"graph": 2.0, "ai": 1.2}


@pytest.fixture
def limited(environment: dict[str, str], root: Path) -> Iterator[ProcessManager]:
    """All stages, two processes of the limited ones: numbers send 10 in a second, the AI is asked 20 times."""
    chosen = {**os.environ, "RATE_LIMIT_WHATSAPP_NUMBER": "10/1s", "RATE_LIMIT_AI_PROCESSING": "20/1s"}
    names = [*queues.MESSAGE_PROCESSES, "maintenance", "scheduler"]
    chosen |= {"AI_PROCESSES": "2", "WHATSAPP_CLOUD_PROCESSES": "2"}
    manager = ProcessManager(root / "Procfile", env=chosen, cwd=root, names=names)
    manager.start()
    yield manager
    manager.stop()


def _shortest(times: list[int], count: int) -> float:
    """Seconds of the shortest time in which `count` of these (ns) happened."""
    ordered = sorted(times)
    return min(later - earlier for earlier, later in zip(ordered, ordered[count - 1 :], strict=False)) / 1e9


def test_the_outside_world_never_sees_more_than_the_limit(world: World, limited: ProcessManager, simulator: Simulator) -> None:
    people, each = 20, 3
    for round_ in range(each):
        for person in range(people):
            world.say(f"shipping {round_}", channel="whatsapp_cloud", user=f"49{person:05}")
    until(lambda: len(world.messages(role="assistant", status="SENT")) == people * each and idle(), seconds=90)
    for kind, most in (("graph", 10), ("ai", 20)):
        times = [row["at_ns"] for row in simulator.record(kind)]
        assert len(times) == people * each
        assert _shortest(times, most * WINDOW[kind] + 1) > WINDOW[kind] - JITTER[kind], kind
    assert {row["attempts"] for row in world.jobs()} == {1}
    assert any(row["claims"] > 1 for row in world.jobs(queue="whatsapp-cloud-send")), "the limit was met"
    assert max(row["claims"] for row in world.jobs()) < 10, "who waits does not ask over and over"
    _in_order(world)


def _in_order(world: World) -> None:
    replies, told = defaultdict(list), defaultdict(list)
    for row in world.messages(role="assistant"):
        told[row["conversation_id"]].append(row["external_id"])
    arrived = [row["answered_id"] for row in sorted(world.simulator.record("graph"), key=lambda row: row["seq"])]
    for conversation, ids in told.items():
        replies[conversation] = [external_id for external_id in arrived if external_id in ids]
    assert replies == told
