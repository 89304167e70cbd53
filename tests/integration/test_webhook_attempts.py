"""Each attempt to deliver an event is a row: what was tried, for how long, what was answered, and when the next one comes."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.http import connections
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business


def attempts() -> list[dict[str, Any]]:
    """All of them, with the seconds from now, and from their start, until the next one."""
    until_next = "extract(epoch from next_at - clock_timestamp())::float8 as next_in"
    pause = "extract(epoch from next_at - started_at)::float8 as pause"
    return db.rows(f"select *, {until_next}, {pause} from webhook_attempt order by id")


def deliver(world: World, endpoint: int, runs: int = 1) -> int:
    """Runs a new event's job so many times, without waiting between them; returns the event's id."""
    event = world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={"message_id": 1})
    [job] = world.jobs(queue="webhook-delivery", webhook_event_id=event)
    for _ in range(runs):
        db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
        world.run(job["id"])
    return event


def test_an_attempt_says_what_was_answered_and_when_the_next_one_comes(world: World, simulator: Simulator) -> None:
    connections.OPEN.clear()
    endpoint = world.endpoint(world.customer)
    simulator.faults(
        [
            {"kind": "webhook", "fault": "status", "status": 500, "body": "é" * 9000, "times": 1},
            {"kind": "webhook", "fault": "status", "status": 429, "headers": {"Retry-After": "40"}, "times": 1},
        ]
    )
    event = deliver(world, endpoint, runs=3)
    refused, throttled, delivered = attempts()
    assert [row["number"] for row in (refused, throttled, delivered)] == [1, 2, 3]
    assert [row["status"] for row in (refused, throttled, delivered)] == [500, 429, 200]
    assert {(row["event_id"], row["endpoint_id"], row["customer_id"], row["trigger"]) for row in attempts()} == {
        (event, endpoint, world.customer, "first")
    }
    assert (refused["error_code"], len(refused["answer"].encode())) == ("http_500", 4096)
    assert "HTTP 500" in refused["error"]
    assert refused["next_in"] < 1.1
    assert throttled["error_code"] == "http_429"
    assert throttled["pause"] >= 40
    assert throttled["next_in"] < 41
    assert (delivered["error"], delivered["error_code"], delivered["next_at"]) == (None, None, None)
    assert {"resolve", "connect", "answer"} == set(refused["ms"])
    assert set(delivered["ms"]) == {"answer"}, "its connection was kept"
    assert [row["x-webhook-attempt"] for row in (call["headers"] for call in simulator.record("webhook"))] == ["1", "2", "3"]
    assert db.scalar("select attempts from webhook_event") == 3
    db.rows("delete from webhook_event")
    assert attempts() == []


def test_an_attempt_without_an_answer_says_where_it_ended(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "4")
    config.reset()
    simulator.faults([{"kind": "webhook", "fault": "hold", "times": 1}])
    deliver(world, world.endpoint(world.customer))
    [slow] = attempts()
    assert (slow["status"], slow["answer"], slow["error_code"]) == (None, None, "timeout")
    assert slow["ms"]["answer"] > 0
    nowhere = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set url = 'http://127.0.0.1:9/' where id = %s", [nowhere])
    deliver(world, nowhere)
    refused = attempts()[-1]
    assert (refused["status"], refused["error_code"]) == (None, "connect_failed")
    assert set(refused["ms"]) == {"resolve", "connect"}


@pytest.mark.parametrize("asked", ["1e300", "99999999999999"])
def test_who_wants_to_be_left_alone_forever_and_tried_no_more_is_waited_for(
    world: World, simulator: Simulator, asked: str
) -> None:
    endpoint = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set redelivery_schedule = '{}'")
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 429, "headers": {"Retry-After": asked}}])
    deliver(world, endpoint)
    [throttled] = attempts()
    assert throttled["error_code"] == "http_429"
    assert 0 < throttled["next_in"] <= config.settings().job_max_age
    assert [job["state"] for job in world.jobs(queue="webhook-delivery")] == ["delayed"]


def test_attempts_are_read_by_event_and_by_endpoint(door: FrontDoor, simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 503, "times": 1}])
    mine, endpoint = Business(door, door.world.customer), door.world.endpoint(door.world.customer)
    first, second = deliver(door.world, endpoint, runs=2), deliver(door.world, endpoint)
    newest, oldest = mine("GET", f"/webhook-events/{first}/attempts").json["data"]  # type: ignore[index]
    assert (newest["number"], newest["status"], oldest["error_code"]) == (2, 200, "http_503")
    assert set(oldest) >= {"id", "event_id", "endpoint_id", "trigger", "started_at", "ms", "answer", "error", "next_at"}
    page = mine("GET", f"/webhook-endpoints/{endpoint}/attempts?limit=2").json
    assert [row["event_id"] for row in page["data"]] == [second, first]  # type: ignore[index]
    [last] = mine("GET", f"/webhook-endpoints/{endpoint}/attempts?before={page['next']}").json["data"]  # type: ignore[index]
    assert last == oldest
