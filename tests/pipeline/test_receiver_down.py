"""A receiver that is down for longer than the first retries gets every event once it is well: with real worker processes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from shared.queue_service import enqueue_webhook_delivery
from tests.builders import World
from tests.pipeline.processes import running
from tests.waiting import until

EVENTS = 10


@pytest.fixture
def workers(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """What delivers, and the housekeeping; the schedule is one of seconds, longer than the receiver is down."""
    chosen = {"WEBHOOK_REDELIVERY_SCHEDULE": "2s " * 20, "SWEEP_INTERVAL_SECONDS": "1", "JOB_LEASE_SECONDS": "10"}
    with running("webhooks", "maintenance", **chosen) as processes:
        yield processes


def count(condition: str) -> int:
    """Events of which this is true."""
    return int(db.scalar(f"select count(*) from webhook_event where {condition}"))


def test_every_event_arrives_once_the_receiver_is_well(world: World, workers: ProcessManager, simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "match": "/down"}])
    down, well = world.endpoint(world.customer, "down"), world.endpoint(world.customer, "well")
    events = [enqueue_webhook_delivery(endpoint_id=down, event="message.sent", data={"number": n}) for n in range(EVENTS)]
    until(lambda: count("status = 'FAILED' and next_attempt_at is not null"))
    workers.kill("webhooks")
    until(lambda: count("attempts > 4"))  # tried again, in vain
    enqueue_webhook_delivery(endpoint_id=well, event="message.sent", data={})
    until(lambda: count("status = 'DELIVERED'") == 1)
    simulator.clear_faults()
    until(lambda: count("status = 'DELIVERED'") == EVENTS + 1)
    arrived = [one for one in simulator.record("webhook") if one["accepted"] and one["path"].endswith("/down")]
    assert {one["headers"]["webhook-id"] for one in arrived} == {f"evt_{event}" for event in events}
    assert all(json.loads(one["body"])["id"] == one["headers"]["webhook-id"] for one in arrived)
    last = db.rows("select distinct on (event_id) status, trigger from webhook_attempt order by event_id, number desc")
    assert [row["status"] for row in last] == [200] * (EVENTS + 1)
    assert "automatic" in {row["trigger"] for row in last}
