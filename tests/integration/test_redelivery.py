"""An event that failed is tried again later, by its endpoint's schedule and with the same id, behind first deliveries."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db, queues
from shared.broker.redis_broker import get_broker
from shared.webhooks import endpoints, redelivery, retention
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business

HOUR = 3600
#: The default schedule, and its end.
SCHEDULE = (300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR)


def fail(world: World, endpoint: int) -> int:
    """A new event, whose job fails for good; returns its id."""
    event = world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={"message_id": 1})
    run_until_closed(world)
    return event


def run_until_closed(world: World) -> None:
    """Runs deliveries with their retries, and dead letters, without waiting for their times."""
    for _ in range(6):
        db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
        for job in world.jobs(queue="webhook-delivery", closed_at=None):
            world.run(job["id"])
            world.dead_letter(job["id"])


def event_of(event: int) -> dict[str, Any]:
    """Its row, with the seconds until its next attempt."""
    next_in = "extract(epoch from next_attempt_at - clock_timestamp())::float8 as next_in"
    row = db.row(f"select *, {next_in} from webhook_event where id = %s", [event])
    assert row is not None
    return row


def make_due(event: int) -> None:
    """Its time has come."""
    db.rows("update webhook_event set next_attempt_at = clock_timestamp() - interval '1 s' where id = %s", [event])


def down(simulator: Simulator, times: int = 100, status: int = 500, **headers: str) -> None:
    """The receiver answers so many times with this status."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    simulator.faults([{"kind": "webhook", "fault": "status", "status": status, "times": times, "headers": headers}])


def test_an_event_that_failed_is_tried_again_by_its_schedule_until_it_arrives(world: World, simulator: Simulator) -> None:
    down(simulator, times=4 + len(SCHEDULE) - 1)
    event = fail(world, world.endpoint(world.customer))
    for used, delay in enumerate(SCHEDULE[:-1], 1):
        row = event_of(event)
        assert (row["status"], row["redeliveries"], row["attempts"]) == ("FAILED", used, 3 + used)
        assert 0.9 * delay - 60 < row["next_in"] < 1.1 * delay
        assert redelivery.redeliver_due() == 0, "not yet"
        make_due(event)
        assert redelivery.redeliver_due() == 1
        assert (event_of(event)["status"], event_of(event)["next_attempt_at"]) == ("PENDING", None)
        [job] = world.jobs(queue="webhook-delivery", closed_at=None)
        assert job["priority"] == queues.BEHIND
        run_until_closed(world)
    make_due(event)
    redelivery.redeliver_due()
    run_until_closed(world)
    row = event_of(event)
    assert (row["status"], row["next_attempt_at"], row["error"]) == ("DELIVERED", None, None)
    calls = simulator.record("webhook")
    assert {call["headers"]["webhook-id"] for call in calls} == {f"evt_{event}"}
    rows = db.rows("select number, trigger, next_at is not null as has_next from webhook_attempt order by id")
    assert [row["number"] for row in rows] == list(range(1, 11)) == [int(c["headers"]["x-webhook-attempt"]) for c in calls]
    assert [row["trigger"] for row in rows] == ["first"] * 4 + ["automatic"] * 6
    assert [row["has_next"] for row in rows] == [True] * 9 + [False]


def test_a_step_is_up_to_a_tenth_earlier_or_later(world: World) -> None:
    """Else what failed together in an outage would come back together, each time."""
    steps = "select seconds from generate_series(1, 200) n, webhook_redelivery_v1('{100,500}', least(n, 0), null)"
    seconds = [row["seconds"] for row in db.rows(steps)]
    assert 90 <= min(seconds) < 93
    assert 107 < max(seconds) <= 110


def test_at_the_end_of_its_schedule_an_event_is_given_up(world: World, simulator: Simulator) -> None:
    endpoint = world.endpoint(world.customer)
    down(simulator)
    db.rows("update webhook_endpoint set redelivery_schedule = '{60}' where id = %s", [endpoint])
    event = fail(world, endpoint)
    make_due(event)
    assert redelivery.redeliver_due() == 1
    run_until_closed(world)
    assert (event_of(event)["status"], event_of(event)["next_attempt_at"], event_of(event)["attempts"]) == ("FAILED", None, 5)
    db.rows("update webhook_endpoint set redelivery_schedule = '{}' where id = %s", [endpoint])
    assert event_of(fail(world, endpoint))["next_attempt_at"] is None


@pytest.mark.parametrize(
    ("wait", "expected", "used"),
    [
        (2 * HOUR, 2 * HOUR, 3),  # within the third step, so that two are used up
        (HOUR + 30, HOUR + 30, 3),
        (100 * HOUR, sum(SCHEDULE), 6),  # the end of the schedule, and the last attempt
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_followed_within_the_schedule(
    world: World, simulator: Simulator, status: int, wait: int, expected: int, used: int
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)
    down(simulator, times=1, status=status, Retry_After=str(wait) if status == 429 else date)
    event = event_of(fail(world, world.endpoint(world.customer)))
    assert (event["status"], event["attempts"], event["redeliveries"]) == ("FAILED", 1, used)
    assert expected - 60 < event["next_in"] <= expected + 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_short_retry_after_costs_no_attempt_of_the_job(world: World, simulator: Simulator, status: int) -> None:
    down(simulator, times=1, status=status, Retry_After="7")
    event = world.service.enqueue_webhook_delivery(endpoint_id=world.endpoint(world.customer), event="x.y", data={})
    [job] = world.jobs(queue="webhook-delivery")
    world.run(job["id"])
    [job] = world.jobs(queue="webhook-delivery")
    assert (job["state"], job["attempts"]) == ("delayed", 0)
    assert 0 < db.scalar("select extract(epoch from run_at - clock_timestamp())::float8 from job") <= 7
    run_until_closed(world)
    assert event_of(event)["status"] == "DELIVERED"


def test_a_redirect_is_a_failure_that_says_where_it_leads(world: World, simulator: Simulator) -> None:
    down(simulator, times=4, status=302, Location="https://shop.example/new?token=geheim")
    event = event_of(fail(world, world.endpoint(world.customer)))
    assert "HTTP 302, and redirects are not followed" in event["error"]
    assert "https://shop.example/new?token=geheim" in event["error"]
    assert "geheim" not in db.scalar("select last_error from job")
    assert event["next_attempt_at"] is not None


def test_gone_means_gone(world: World, simulator: Simulator) -> None:
    endpoint, other = world.endpoint(world.customer), world.endpoint(world.customer)
    down(simulator, times=1, status=410)
    event = event_of(fail(world, endpoint))
    assert (event["status"], event["attempts"], event["next_attempt_at"]) == ("FAILED", 1, None)
    assert db.scalar("select active from webhook_endpoint where id = %s", [endpoint]) is False
    [told] = db.rows("select endpoint_id, payload, status from webhook_event where event = 'endpoint.disabled'")
    assert (told["endpoint_id"], told["status"]) == (other, "DELIVERED")
    assert {name: told["payload"][name] for name in ("endpoint_id", "state", "reason")} == {
        "endpoint_id": endpoint,
        "state": "disabled",
        "reason": "gone",
    }


def test_gone_is_the_address_that_was_called_and_not_the_new_one(world: World, simulator: Simulator) -> None:
    endpoint = world.endpoint(world.customer)
    new = f"{world.simulator.url}/customer/new"

    class Moving(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoints.change(world.customer, endpoint, {"url": new})  # by its owner, while it is called
            self.send_response(410)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Moving) as old:
        threading.Thread(target=old.serve_forever, daemon=True).start()
        db.rows("update webhook_endpoint set url = %s where id = %s", [f"http://127.0.0.1:{old.server_port}/old", endpoint])
        event = fail(world, endpoint)
        old.shutdown()
    assert db.scalar("select active from webhook_endpoint where id = %s", [endpoint]) is True
    row = event_of(event)
    assert (row["status"], row["response_status"], row["next_attempt_at"] is not None) == ("FAILED", 410, True)
    make_due(event)
    redelivery.redeliver_due()
    run_until_closed(world)
    assert event_of(event)["status"] == "DELIVERED"
    db.rows("update webhook_endpoint set url_changed_at = now() - interval '1 minute'")
    down(simulator, status=410)
    fail(world, endpoint)
    assert db.scalar("select active from webhook_endpoint where id = %s", [endpoint]) is False


@pytest.mark.parametrize("payload", ["[]", '{"trigger": "never"}', '{"webhook_event_id": "x", "trigger": 7}'])
def test_a_payload_that_is_garbage_fails_its_event_with_a_reason(world: World, simulator: Simulator, payload: str) -> None:
    world.service.enqueue_webhook_delivery(endpoint_id=world.endpoint(world.customer), event="x.y", data={})
    db.rows("update job set payload = %s", [payload])
    run_until_closed(world)
    [row] = db.rows("select status, error from webhook_event")
    assert row["status"] == "FAILED"
    assert "bad payload" in row["error"]
    assert [row["error_code"] for row in db.rows("select error_code from webhook_attempt")] == ["not_called"]


def test_what_is_tried_again_has_a_lane_of_its_own(world: World, simulator: Simulator) -> None:
    down(simulator, times=4)
    event, broker = fail(world, world.endpoint(world.customer)), get_broker()
    make_due(event)
    redelivery.redeliver_due()
    [job] = world.jobs(queue="webhook-delivery", closed_at=None)
    assert broker.missing("webhook-delivery.again", [f"job-{job['id']}"]) == set()
    assert broker.missing("webhook-delivery", [f"job-{job['id']}"]) == {f"job-{job['id']}"}


def test_resent_by_hand_its_schedule_starts_over(door: FrontDoor, simulator: Simulator) -> None:
    down(simulator, times=9)
    world, mine = door.world, Business(door, door.world.customer)
    event = fail(world, world.endpoint(world.customer))
    make_due(event)
    redelivery.redeliver_due()
    run_until_closed(world)
    [shown] = mine("GET", "/webhook-events").json["data"]  # type: ignore[index]
    assert (shown["status"], shown["next_attempt_at"] is not None) == ("FAILED", True)
    assert mine("POST", f"/webhook-events/{event}/resend").status_code == 202
    assert (event_of(event)["status"], event_of(event)["next_attempt_at"]) == ("PENDING", None)
    run_until_closed(world)
    assert (event_of(event)["status"], event_of(event)["redeliveries"], event_of(event)["attempts"]) == ("FAILED", 1, 9)
    triggers = [row["trigger"] for row in db.rows("select trigger from webhook_attempt order by id")]
    assert triggers == ["first"] * 4 + ["automatic"] + ["manual"] * 4


def test_an_endpoint_has_its_own_schedule(door: FrontDoor) -> None:
    mine = Business(door, door.world.customer)
    made = mine("POST", "/webhook-endpoints", {"url": "https://shop.example/hook", "redelivery_schedule": [60, 600]}).json
    assert made["redelivery_schedule"] == [60, 600]  # type: ignore[index]
    path = f"/webhook-endpoints/{made['id']}"  # type: ignore[index]
    assert mine("PATCH", path, {"active": True}).json["redelivery_schedule"] == [60, 600]  # type: ignore[index]
    for wrong in ([0], [700_000], [60] * 21, "5m"):
        assert mine("PATCH", path, {"redelivery_schedule": wrong}).status_code == 422
    for right in ([], None):
        assert mine("PATCH", path, {"redelivery_schedule": right}).json["redelivery_schedule"] == right  # type: ignore[index]


def test_old_attempts_and_events_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_WEBHOOK_ATTEMPTS_DAYS", "3")
    monkeypatch.setenv("KEEP_WEBHOOK_EVENTS_DAYS", "9")
    config.reset()
    endpoint = world.endpoint(world.customer)
    db.rows(
        "insert into webhook_event (customer_id, endpoint_id, event, payload, status, error, created_at)"
        " select %s, %s, 'x.y', '{}', 'FAILED', 'x', now() - make_interval(days => 20 - n / 100) from generate_series(1, 2000) n",
        [world.customer, endpoint],
    )
    db.rows(
        "insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, status)"
        " select id, endpoint_id, customer_id, 1, 'first', created_at, 200 from webhook_event order by id"
    )
    pruned = retention.prune()
    assert pruned["webhook_attempts"] + pruned["webhook_events"] > 2_500
    assert db.scalar("select count(*) from webhook_event where created_at < now() - interval '9 days'") == 0
    assert db.scalar("select count(*) from webhook_event") > 800
    assert db.scalar("select count(*) from webhook_attempt where started_at < now() - interval '3 days'") == 0
    assert db.scalar("select count(*) from webhook_attempt") > 200
    assert retention.prune() == {"webhook_attempts": 0, "webhook_events": 0}
