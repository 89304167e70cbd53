"""Endpoints that hang do not hold up those that do not: with real worker processes, decided by order, not by time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from shared.http.bulkhead import MAX_SLOTS
from shared.queue_service import enqueue_webhook_delivery
from tests.builders import World, times_claimed
from tests.pipeline.processes import running
from tests.waiting import until

THREADS = 2
HANGING = 12
#: More than one endpoint has room for.
EVENTS = 60


@pytest.fixture
def webhooks(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """The webhooks' process, with few threads, and patient."""
    few_and_patient = {"WEBHOOKS_THREADS": str(THREADS), "HTTP_TIMEOUT_SECONDS": "100"}
    with running("webhooks", stop_within=1, **few_and_patient) as processes:  # calls hang
        yield processes


def test_hanging_endpoints_do_not_hold_up_the_others(world: World, webhooks: ProcessManager, simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "timeout", "match": "/hangs-", "ms": 120_000}])
    hanging = [world.endpoint(world.customer, f"hangs-{number}") for number in range(HANGING)]
    well = world.endpoint(world.customer, "well")
    for endpoint in [*hanging, *[well] * 20]:
        enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    delivered = "select count(*) from webhook_event where status = 'DELIVERED'"
    until(lambda: db.scalar(delivered) == 20)
    until(lambda: _hanging(simulator) == HANGING)
    assert len(world.jobs(queue="webhook-delivery", state="active")) == HANGING, "each under way, no other failed"
    seen = [row["path"] for row in simulator.record("webhook")]
    assert sorted(seen) == sorted(["/customer/well"] * 20 + [f"/customer/hangs-{number}" for number in range(HANGING)])
    assert not any(webhooks.restarts().values())


def test_a_customer_with_many_hanging_endpoints_holds_up_nobody_and_its_calls_end_with_them(
    world: World, webhooks: ProcessManager, simulator: Simulator
) -> None:
    simulator.faults([{"kind": "webhook", "fault": "drip", "part": "head", "ms": 5_000, "match": "/hangs-"}])
    attacker, _ = world.tenant()
    for number in range(MAX_SLOTS + 20):
        enqueue_webhook_delivery(endpoint_id=world.endpoint(attacker, f"hangs-{number}"), event="message.sent", data={})
    until(lambda: _hanging(simulator) == MAX_SLOTS)
    well = world.endpoint(world.customer, "well")
    for _ in range(20):
        enqueue_webhook_delivery(endpoint_id=well, event="message.sent", data={})
    until(lambda: db.scalar("select count(*) from webhook_event where status = 'DELIVERED'") == 20)
    # Now and then one of them looks whether there is room by now.
    until(lambda: [job["attempts"] for job in world.jobs(customer_id=attacker, state="delayed")] == [0] * 20)
    assert _hanging(simulator) == MAX_SLOTS
    db.rows("delete from webhook_endpoint where customer_id = %s", [attacker])
    until(lambda: len(world.jobs(customer_id=attacker, state="completed")) == MAX_SLOTS + 20)


def _hanging(simulator: Simulator) -> int:
    return sum("/hangs-" in call["path"] for call in simulator.record("webhook"))


def test_what_finds_no_room_burns_no_attempt_and_comes_when_the_endpoint_is_back(
    world: World, webhooks: ProcessManager, simulator: Simulator
) -> None:
    simulator.faults([{"kind": "webhook", "fault": "hold"}])
    endpoint = world.endpoint(world.customer)
    for _ in range(EVENTS):
        enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    until(lambda: db.scalar("select count(*) from job where attempts = 0 and last_error like 'the endpoint has %%'"))
    simulator.clear_faults()
    until(lambda: db.scalar("select count(*) from webhook_event where status = 'DELIVERED'") == EVENTS)
    jobs = world.jobs(queue="webhook-delivery")
    assert {job["attempts"] for job in jobs} == {1}
    assert any(times_claimed(job) > job["attempts"] for job in jobs)
    assert not any(job["lost_claims"] for job in jobs)
