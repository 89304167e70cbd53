"""A limit with real workers: the outside world sees no more than it, everything arrives, nothing is burnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared.queues import Queue
from tests.builders import World, times_claimed
from tests.pipeline.processes import idle, running
from tests.waiting import until
from tests.windows import fullest


@pytest.fixture
def limited(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """The stages of a WhatsApp message, two processes of the limited ones: a number sends 10 a second, the AI gets 20."""
    limits = {"RATE_LIMIT_WHATSAPP_NUMBER": "10/1s", "RATE_LIMIT_AI_PROCESSING": "20/1s"}
    sizes = {"AI_PROCESSES": "2", "WHATSAPP_CLOUD_PROCESSES": "2"}
    with running("incoming", "ai", "outgoing", "whatsapp_cloud", "maintenance", **limits, **sizes) as processes:
        yield processes


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
