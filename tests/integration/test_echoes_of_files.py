"""Files that we sent through Evolution, which reports them as it reports what colleagues send on the phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared import db
from shared.channels.whatsapp_qr import evolution
from shared.channels.whatsapp_qr.ids import own_id
from shared.config import settings
from shared.queues import Queue
from tests.builders import stage_of_queue
from tests.integration.front_door import FrontDoor, evolution_message
from tests.integration.test_colleagues import customer_name, later, waiting_echoes, with_evolution
from tests.integration.test_front_door_api import Business
from tests.integration.test_sent_files import send
from tests.integration.test_who_may_answer import run


@pytest.fixture(autouse=True)
def unknown_gateway(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of the gateway."""
    monkeypatch.setattr(evolution, "_refuse_ids", set())


def send_picture(door: FrontDoor) -> dict[str, Any]:
    """A picture without words, to a customer who was answered; it is about to leave."""
    with_evolution()
    door.world.say(channel="whatsapp_qr", user=customer_name("evolution"))
    door.world.drain()
    assert send(door, Business(door, door.world.customer)).status_code == 202
    run(door.world, Queue.OUTGOING)
    return picture(door)


def picture(door: FrontDoor) -> dict[str, Any]:
    """The message that has it."""
    return next(one for one in door.world.messages(role="assistant") if one["kind"] == "media")


def report(door: FrontDoor, identity: str) -> None:
    """The gateway reports a picture as sent from its phone."""
    message = {"imageMessage": {"mimetype": "image/jpeg", "url": "https://mmg.whatsapp.net/x", "fileLength": "9"}}
    door.evolution(evolution_message(identity, message, fromMe=True))
    run(door.world, Queue.INCOMING)


@pytest.mark.parametrize("takes_ids", [True, False])
def test_a_report_of_a_file_that_has_left_is_of_ours(door: FrontDoor, takes_ids: bool) -> None:
    if not takes_ids:
        evolution._refuse_ids.add(settings().qr_service_url)
    sent = send_picture(door)
    door.world.drain()
    identity = picture(door)["external_id"]
    assert (identity == own_id(sent["id"])) == takes_ids
    report(door, identity)
    later(door.world)
    assert (waiting_echoes(), door.world.messages(role="agent")) == ([], [])


@pytest.mark.parametrize("takes_ids", [True, False])
def test_a_report_that_is_faster_than_the_answer_is_of_ours(door: FrontDoor, takes_ids: bool) -> None:
    sent = send_picture(door)
    job = door.world.claim(door.world.jobs(queue=Queue.WHATSAPP_QR)[-1]["id"])
    identity = own_id(sent["id"]) if takes_ids else "GATEWAYS-OWN-ID"
    report(door, identity)
    stage_of_queue(Queue.WHATSAPP_QR)(job)
    db.rows("update message set external_id = %s where id = %s", [identity, sent["id"]])
    later(door.world)
    assert (waiting_echoes(), door.world.messages(role="agent")) == ([], [])
    assert picture(door)["status"] == "SENT"
