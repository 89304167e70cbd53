"""An endpoint's events of a time are delivered again: counted before, at a pace, and stopped if need be."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from scripts.commands import webhooks
from scripts.local.simulator.client import Simulator
from shared import db
from shared.errors import InvalidPayload
from shared.operations import bulk_actions, criteria, webhook_recovery
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from tests.integration.test_redelivery import down, fail, run_until_closed

STEPS = {webhook_recovery.KIND: webhook_recovery.step}
AGES = (5, 3, 1)


def failed_events(world: World, endpoint: int) -> list[int]:
    """Events that failed, created 5, 3 and 1 hours ago; the newest is given up."""
    events = [fail(world, endpoint) for _ in AGES]
    for event, hours in zip(events, AGES, strict=True):
        db.rows("update webhook_event set created_at = now() - make_interval(hours => %s) where id = %s", [hours, event])
    db.rows("update webhook_event set next_attempt_at = null, redeliveries = 6 where id = %s", [events[-1]])
    return events


def run_actions(steps: int = 10) -> None:
    """The runner's steps, as fast as they can be."""
    for _ in range(steps):
        db.rows("update bulk_action set stepped_at = now() - interval '1 minute'")
        bulk_actions.run(STEPS)


def hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def statuses() -> list[str]:
    return [row["status"] for row in db.rows("select status from webhook_event order by id")]


@pytest.fixture
def mine(door: FrontDoor) -> Business:
    return Business(door, door.world.customer)


def test_a_time_is_recovered_and_nothing_else(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    endpoint, other = door.world.endpoint(door.world.customer), door.world.endpoint(door.world.customer)
    down(simulator)
    events = failed_events(door.world, endpoint)
    fail(door.world, other)
    simulator.reset()
    path = f"/webhook-endpoints/{endpoint}"
    counted = mine("GET", f"{path}/recover?since={quote(hours_ago(4))}&until={quote(hours_ago(0))}")
    assert counted.json == {"total": 2}
    begun = mine("POST", f"{path}/recover", {"since": hours_ago(4)})
    assert (begun.status_code, begun.json["state"], begun.json["total"]) == (202, "running", 2)  # type: ignore[index]
    assert mine("POST", f"{path}/recover", {"since": hours_ago(4)}).status_code == 409, "one at a time"
    run_actions()
    assert statuses() == ["FAILED", "PENDING", "PENDING", "FAILED"]
    assert {job["priority"] for job in door.world.jobs(queue="webhook-delivery", closed_at=None)} == {7}
    run_until_closed(door.world)
    assert statuses() == ["FAILED", "DELIVERED", "DELIVERED", "FAILED"]
    ids = [call["headers"]["webhook-id"] for call in simulator.record("webhook")]
    assert sorted(ids) == sorted(f"evt_{event}" for event in events[1:])
    assert {row["trigger"] for row in db.rows("select trigger from webhook_attempt where status = 200")} == {"bulk"}
    [shown] = mine("GET", f"{path}/recoveries").json["data"]  # type: ignore[index]
    assert (shown["state"], shown["counts"]) == ("done", {"recovered": 2})
    again = mine("POST", f"{path}/recover", {"since": hours_ago(9), "status": "DELIVERED"}).json
    run_actions()
    assert mine("GET", f"{path}/recoveries/{again['id']}").json["counts"] == {"recovered": 2}  # type: ignore[index]


def test_one_that_fails_again_follows_the_schedule_from_its_beginning(
    door: FrontDoor, mine: Business, simulator: Simulator
) -> None:
    endpoint = door.world.endpoint(door.world.customer)
    down(simulator)
    events = failed_events(door.world, endpoint)
    calls = len(simulator.record("webhook"))
    mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(2)})
    run_actions()
    run_until_closed(door.world)
    assert len(simulator.record("webhook")) == calls + 1, "a single attempt"
    row = db.row("select status, redeliveries, next_attempt_at from webhook_event where id = %s", [events[-1]])
    assert row is not None
    assert (row["status"], row["redeliveries"], row["next_attempt_at"] is not None) == ("FAILED", 1, True)


def test_it_keeps_its_pace_and_can_be_stopped(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    endpoint = door.world.endpoint(door.world.customer)
    down(simulator)
    failed_events(door.world, endpoint)
    action = mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(9), "pace": 1}).json["id"]  # type: ignore[index]
    db.rows("update bulk_action set stepped_at = now() - interval '1.5 s'")
    bulk_actions.run(STEPS)
    bulk_actions.run(STEPS)
    path = f"/webhook-endpoints/{endpoint}/recoveries/{action}"
    assert mine("GET", path).json["counts"] == {"recovered": 1}  # type: ignore[index]
    assert mine("POST", path + "/stop").json["state"] == "stopped"  # type: ignore[index]
    assert mine("POST", path + "/stop").status_code == 409
    run_actions()
    assert statuses() == ["PENDING", "FAILED", "FAILED"]


def test_a_receiver_that_is_slower_than_the_pace_is_waited_for(
    door: FrontDoor, mine: Business, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_recovery, "MAX_WAITING", 2)
    endpoint = door.world.endpoint(door.world.customer)
    down(simulator)
    failed_events(door.world, endpoint)
    mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(9), "pace": 1})
    for _ in range(6):
        db.rows("update bulk_action set stepped_at = now() - interval '1 s'")
        bulk_actions.run(STEPS)
    assert statuses() == ["PENDING", "PENDING", "FAILED"]
    simulator.reset()
    run_until_closed(door.world)
    run_actions()
    assert statuses() == ["DELIVERED", "DELIVERED", "PENDING"]


def test_it_ends_although_new_events_never_cease(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    endpoint = door.world.endpoint(door.world.customer)
    down(simulator)
    failed_events(door.world, endpoint)
    mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(9)})
    for _ in range(3):
        door.world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
        run_actions(1)
    [shown] = mine("GET", f"/webhook-endpoints/{endpoint}/recoveries").json["data"]  # type: ignore[index]
    assert (shown["state"], shown["counts"]) == ("done", {"recovered": 3})


def test_an_endpoint_that_is_switched_off_is_not_recovered(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    endpoint = door.world.endpoint(door.world.customer)
    down(simulator)
    failed_events(door.world, endpoint)
    mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(9)})
    mine("PATCH", f"/webhook-endpoints/{endpoint}", {"active": False})
    run_actions()
    assert statuses() == ["FAILED"] * 3
    [shown] = mine("GET", f"/webhook-endpoints/{endpoint}/recoveries").json["data"]  # type: ignore[index]
    assert (shown["state"], shown["counts"]) == ("done", {"endpoint_off": 3})
    assert mine("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": hours_ago(9)}).status_code == 409


def test_what_is_wrong_is_said(door: FrontDoor, mine: Business) -> None:
    path = f"/webhook-endpoints/{door.world.endpoint(door.world.customer)}/recover"
    for wrong in ({}, {"since": "yesterday"}, {"since": "2026-11-26T17:00:00"}, {"since": hours_ago(1), "status": "PENDING"}):
        assert mine("POST", path, wrong).status_code == 422
    assert mine("POST", path, {"since": hours_ago(1), "pace": 1_000}).status_code == 422
    assert mine("GET", path + "?since=yesterday").status_code == 400


def test_a_time_that_holds_nothing_is_refused(
    door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = door.world.endpoint(door.world.customer)
    path = f"/webhook-endpoints/{endpoint}/recover"
    for since, until, name, wrong in (
        ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "until", "must not be before since"),
        ("9000-01-01T00:00:00Z", None, "since", "must not be in the future"),
        ("9000-01-01T00:00:00Z", "9000-01-02T00:00:00Z", "since", "must not be in the future"),
    ):
        period = {"since": since} | ({"until": until} if until else {})
        begun = mine("POST", path, period)
        assert (begun.status_code, (begun.json or {}).get("errors")) == (422, {name: f"{wrong} (got {period[name]!r})"})
        counted = mine("GET", f"{path}?{urlencode(period)}")
        assert (counted.status_code, (counted.json or {}).get("detail")) == (400, f"{name} {wrong}.")
        options = [word for member, time in period.items() for word in (f"--{member}", time)]
        monkeypatch.setattr(sys, "argv", ["webhooks", "recover", str(endpoint), *options])
        assert webhooks.main() == 1
        assert capsys.readouterr().err == f"webhooks: --{name} {wrong}\n"


def test_failures_of_a_time_that_holds_nothing_are_not_asked_for() -> None:
    with pytest.raises(InvalidPayload) as refused:
        criteria.read({"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"})
    assert refused.value.errors == {"until": "must not be before since (got '2026-11-01T00:00:00Z')"}


@pytest.mark.parametrize("options", [[], ["--preview"]])
def test_the_command_recovers_no_endpoint_whose_events_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    endpoint = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set url = null where id = %s", [endpoint])
    monkeypatch.setattr(sys, "argv", ["webhooks", "recover", str(endpoint), "--since", "4h", *options])
    assert webhooks.main() == 1
    assert capsys.readouterr().err == f"webhooks: endpoint {endpoint} has no URL: its events are read with GET /api/v1/events\n"


def test_the_command_counts_recovers_and_stops(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = world.endpoint(world.customer)
    down(simulator)
    failed_events(world, endpoint)

    def run(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["webhooks", *map(str, arguments)])
        capsys.readouterr()
        return webhooks.main(), capsys.readouterr().out

    assert run("recover", endpoint, "--since", "4h", "--preview")[1].startswith("2 events would be delivered again to http")
    assert run("recover", endpoint, "--since", "2000-01-01T00:00+23:00", "--preview")[1].startswith("3 events")
    for pace in ("0", "-1", "1e9"):
        assert run("recover", endpoint, "--since", "4h", "--preview", "--pace", pace) == (1, "")
    assert run("recover", endpoint, "--since", "4h")[1].startswith("recovery 1: 2 events to http")
    assert run("recover", endpoint, "--since", "4h")[0] == 1
    run_actions(1)
    assert "running" in run("recoveries")[1]
    assert run("stop", 1) == (0, "recovery 1 is stopped\n")
    assert run("stop", 1)[0] == 1
    assert run("recover", 999, "--since", "4h")[0] == 1
    for beyond in ("999999d", "0001-01-01T00:00+14:00"):
        with pytest.raises(SystemExit):
            run("recover", endpoint, "--since", beyond, "--preview")
