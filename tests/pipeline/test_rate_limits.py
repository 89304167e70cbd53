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
from shared.queues import Queue
from tests.builders import World, times_claimed
from tests.pipeline.test_workers import idle
from tests.waiting import until
from tests.windows import fullest


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


def test_the_outside_world_never_sees_more_than_the_limit(world: World, limited: ProcessManager, simulator: Simulator) -> None:
    people, each = 20, 3
    for round_ in range(each):
        for person in range(people):
            world.say(f"shipping {round_}", channel="whatsapp_cloud", user=f"49{person:05}")
    until(lambda: len(world.messages(role="assistant", status="SENT")) == people * each and idle())
    for queue, kind, most in ((Queue.WHATSAPP_CLOUD, "graph", 10), (Queue.AI, "ai", 20)):
        # A job passes the limit between its start and the arrival of its request.
        started = [row["started_at"].timestamp() for row in world.jobs(queue=queue)]
        arrived = [row["at_ns"] / 1e9 for row in simulator.record(kind)]
        assert len(arrived) == people * each
        assert fullest(1.0, started, arrived) <= most, kind
    assert {row["attempts"] for row in world.jobs()} == {1}
    assert any(times_claimed(row) > 1 for row in world.jobs(queue="whatsapp-cloud-send")), "the limit was met"
    assert max(times_claimed(row) for row in world.jobs()) < 10, "who waits does not ask over and over"
    _in_order(world)


def _in_order(world: World) -> None:
    replies, told = defaultdict(list), defaultdict(list)
    for row in world.messages(role="assistant"):
        told[row["conversation_id"]].append(row["external_id"])
    arrived = [row["answered_id"] for row in sorted(world.simulator.record("graph"), key=lambda row: row["seq"])]
    for conversation, ids in told.items():
        replies[conversation] = [external_id for external_id in arrived if external_id in ids]
    assert replies == told
