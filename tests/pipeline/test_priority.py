"""Lanes take turns in a real AI process: decided by the order of the claims."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from tests.builders import World
from tests.pipeline.processes import running
from tests.waiting import until

EACH = 40
#: Claims in which lanes are fetched for the first time, in no order.
START = 8
WAITING = "select count(*) from job where queue = 'ai-processing' and state = 'waiting'"
BEGUN = "select priority from job where queue = 'ai-processing' order by started_at"


@pytest.fixture
def processes(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """The first two stages; the AI has two threads and is not there yet."""
    with running("incoming", "ai", AI_THREADS="2") as manager:
        manager.stop_one("ai")
        yield manager


def test_premium_goes_first_and_basic_is_not_starved(world: World, processes: ProcessManager, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "latency", "ms": 50}])
    _, basic = world.tenant(price=2_000)
    for chatbot in (basic, world.chatbot):
        for number in range(EACH):
            world.say(chatbot_id=chatbot, user=f"v-{number}")
    until(lambda: db.scalar(WAITING) == 2 * EACH)
    processes.start_one("ai")
    until(lambda: not db.scalar("select 1 from job where queue = 'ai-processing' and closed_at is null limit 1"))
    order = [row["priority"] for row in db.rows(BEGUN)]
    assert sorted(order) == [1] * EACH + [5] * EACH
    last_premium = 2 * EACH - order[::-1].index(1)
    begun_before = order[START:last_premium].count(5)  # basic jobs, before premium was through
    assert 1 <= begun_before <= EACH // 2
