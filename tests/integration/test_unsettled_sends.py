"""A send that was given up and may have arrived all the same: its message says so, at the desk, in the API and by webhook."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.db.credentials import encrypt
from shared.jobs.stage import POISON_AFTER
from shared.models import TelegramBot
from shared.queues import Queue
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_lost_workers import job_of, row_of
from tests.integration.test_parts import PARTS, reply_is_ready
from tests.integration.test_who_may_answer import conversation
from web.api import keys
from web.app import create_app

SAID = "an earlier send may have arrived"
BLOCKED = {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}
#: By channel: its send queue, whom it sends to, and the simulator's refusal.
SENDS = {
    "whatsapp_cloud": (Queue.WHATSAPP_CLOUD, "4915112345", {"kind": "graph", "status": 400}),
    "whatsapp_qr": (Queue.WHATSAPP_QR, "4915112345", {"kind": "waha", "status": 400}),
    "telegram": (Queue.TELEGRAM, "7001", {"kind": "telegram", "status": 403, "body": BLOCKED}),
}


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def send_of(world: World, channel: str) -> int:
    """The job of a reply that is about to leave; the business's endpoint hears of what becomes of it."""
    world.endpoint(world.customer)
    if channel == "telegram":
        token = encrypt(f"700:{'t' * 35}")
        secret = encrypt("secret")
        db.rows(TelegramBot.insert(chatbot=world.chatbot, bot_id="700", username="shop_bot", token=token, webhook_secret=secret))
    queue, user, _ = SENDS[channel]
    return job_of(world, queue, channel=channel, user=user)


def vanish(world: World, job_id: int, times: int) -> None:
    """Workers die with it: the first one among others, the next ones alone."""
    for alone in range(times):
        world.claim(job_id)
        world.vanish(bool(alone))


def age(job_id: int) -> None:
    """The time is over for which a status of the earlier send may come."""
    waited = "outcome_unknown_since = clock_timestamp() - interval '1 minute'"
    db.rows(f"update job set run_at = clock_timestamp(), {waited} where id = %s", [job_id])


def given_up(world: World, job_id: int) -> dict[str, Any]:
    """The message of a job that failed for good, as the API shows it."""
    assert row_of(job_id)["state"] == "failed"
    world.dead_letters()
    headers = {"Authorization": f"Bearer {keys.create(world.customer, 'till')}"}
    path = f"/api/v1/conversations/{conversation()['id']}/messages"
    page = create_app().test_client().get(path, headers=headers).get_json()
    [reply] = [message for message in page["data"] if message["role"] == "assistant"]
    return dict(reply)


def thread(app: Flask, world: World) -> str:
    """The conversation's page at the desk."""
    emma = Visitor(app, person("agent", world.customer, "Emma"))
    return str(emma.get(f"/desk/c/{world.customer}/conversations/{conversation()['id']}").text)


def assert_said(app: Flask, world: World, reply: dict[str, Any]) -> None:
    """Everybody who hears that it failed hears that it may have arrived."""
    assert reply["status"] == "FAILED"
    assert "may have arrived" in f"{reply['error']} {reply['error_explanation']}"
    page = thread(app, world)
    assert "may have arrived" in page
    assert "the customer gets it twice" in page
    payload = db.scalar("select payload from webhook_event where event = 'message.failed'")
    assert payload["error"] == reply["error"]


@pytest.mark.parametrize("channel", SENDS)
def test_poison(app: Flask, world: World, channel: str) -> None:
    job_id = send_of(world, channel)
    vanish(world, job_id, POISON_AFTER)
    world.run(job_id)
    reply = given_up(world, job_id)
    assert reply["error"] == f"poison: its worker vanished 3 times while working on it; given up; {SAID}"
    assert db.rows("select error_code, outcome_unknown from dead_letter") == [{"error_code": "poison", "outcome_unknown": True}]
    assert_said(app, world, reply)


@pytest.mark.parametrize("channel", SENDS)
def test_a_lost_answer_and_then_a_refusal(app: Flask, world: World, simulator: Simulator, channel: str) -> None:
    job_id, refusal = send_of(world, channel), {"fault": "status", **SENDS[channel][2]}
    simulator.faults([{"kind": refusal["kind"], "fault": "reset_after", "times": 1}, refusal])
    world.run(job_id)
    age(job_id)
    world.run(job_id)
    reply = given_up(world, job_id)
    assert reply["error"].endswith(f"; {SAID}")
    assert reply["error_code"] not in (None, "outcome_unknown")
    assert_said(app, world, reply)


def test_a_lost_answer_and_then_no_account(app: Flask, world: World, simulator: Simulator) -> None:
    job_id = send_of(world, "whatsapp_cloud")
    simulator.faults([{"kind": "graph", "fault": "reset_after", "times": 1}])
    world.run(job_id)
    db.rows("update whatsapp_cloud_account set active = false")
    age(job_id)
    world.run(job_id)
    reply = given_up(world, job_id)
    assert (reply["error_code"], reply["error"].endswith(f"; {SAID}")) == ("not_connected", True)
    assert_said(app, world, reply)


def test_held_because_it_may_have_arrived(
    app: Flask, world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIGUOUS_SEND", "hold")
    config.reset()
    job_id = send_of(world, "whatsapp_qr")
    simulator.faults([{"kind": "waha", "fault": "reset_after", "times": 1}])
    world.run(job_id)
    age(job_id)
    world.run(job_id)
    reply = given_up(world, job_id)
    assert reply["error_code"] == "outcome_unknown"
    assert_said(app, world, reply)


def test_a_refusal_of_the_only_send_says_nothing_of_it(app: Flask, world: World, simulator: Simulator) -> None:
    job_id = send_of(world, "whatsapp_cloud")
    simulator.faults([{"kind": "graph", "fault": "status", "status": 400}])
    world.run(job_id)
    assert SAID not in given_up(world, job_id)["error"]


@pytest.mark.parametrize("channel", ["whatsapp_cloud", "telegram"])
def test_a_reply_of_which_a_part_has_left(app: Flask, world: World, simulator: Simulator, channel: str) -> None:
    world.endpoint(world.customer)
    job_id = reply_is_ready(world, channel)
    refusal = {"fault": "status", **SENDS[channel][2], "match": PARTS[1][:9]}
    simulator.faults([refusal])
    world.run(job_id)
    reply = given_up(world, job_id)
    assert reply["error"].endswith("; a part of it has left")
    assert SAID not in reply["error"]
    page = thread(app, world)
    assert "A part of it has left." in page
    assert "gets that part twice" in page
