"""An endpoint that is deleted or switched off: its calls end, its events end, and it is nobody's mistake."""

from __future__ import annotations

import logging
import threading

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db, http
from shared.queue_service import enqueue_webhook_delivery
from shared.webhooks import gone
from tests.builders import World
from tests.waiting import until

ENDINGS = {
    "deleted": "delete from webhook_endpoint where id = %s",
    "switched off": "update webhook_endpoint set active = false where id = %s",
    "its customer deleted": "delete from customer where id = (select customer_id from webhook_endpoint where id = %s)",
}


def deliver_in_the_background(world: World, endpoint: int) -> threading.Thread:
    """A delivery whose call is under way."""
    enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    [job] = world.jobs(queue="webhook-delivery", state="waiting")
    worker = threading.Thread(target=world.run, args=(job["id"],))
    worker.start()
    until(lambda: ("endpoint", endpoint) in http.keys_of_calls())
    return worker


def mistakes(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What is logged as one."""
    return [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.fixture
def patient(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Calls would wait for two minutes."""
    monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "120")
    config.reset()
    return world


@pytest.mark.parametrize("fault", ["timeout", "drip"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_call_ends_with_its_endpoint(
    patient: World, simulator: Simulator, caplog: pytest.LogCaptureFixture, ending: str, fault: str
) -> None:
    hangs = {"kind": "webhook", "fault": "latency", "ms": 120_000, "match": "/hangs"}
    simulator.faults([hangs if fault == "timeout" else {"kind": "webhook", "fault": fault, "match": "/hangs"}])
    customer, _ = patient.tenant()
    hanging, other = patient.endpoint(customer, "hangs"), patient.endpoint(patient.customer, "hangs-too")
    workers = [deliver_in_the_background(patient, endpoint) for endpoint in (hanging, other)]
    db.rows(ENDINGS[ending], [hanging])
    gone.watch()
    workers[0].join(45)
    assert not workers[0].is_alive()
    jobs = {job["customer_id"]: job for job in patient.jobs(queue="webhook-delivery")}
    assert (jobs[customer]["state"], jobs[patient.customer]["state"]) == ("completed", "active")
    assert not mistakes(caplog)
    events = db.rows("select status, error from webhook_event where endpoint_id = %s", [hanging])
    assert events == ([{"status": "FAILED", "error": "the endpoint was switched off"}] if ending == "switched off" else [])
    while workers[1].is_alive():  # it has no database once the test is over
        http.cancel_calls(("endpoint", other))
        workers[1].join(1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_waiting_events_end_with_their_endpoint(
    world: World, simulator: Simulator, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    endpoint = world.endpoint(world.customer)
    for _ in range(3):
        enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    db.rows(ENDINGS[ending], [endpoint])
    world.drain()
    assert [job["state"] for job in world.jobs(queue="webhook-delivery")] == ["completed"] * 3
    assert not mistakes(caplog)
    assert {row["status"] for row in db.rows("select status from webhook_event")} <= {"FAILED"}
    assert simulator.record("webhook") == []


def test_nobody_is_asked_while_no_call_is_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.Pool, "execute_sql", None)
    assert gone.end_calls() == 0


def test_the_watch_ends_with_the_settings_it_was_begun_with(world: World) -> None:
    for _ in range(2):  # what was stopped can be begun again
        gone.watch()
        [watcher] = [thread for thread in threading.enumerate() if thread.name == "gone-endpoints"]
        gone.stop()
        assert not watcher.is_alive()
