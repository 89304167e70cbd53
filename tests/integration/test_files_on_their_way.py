"""A file of the business leaves by its channel: whole, once, with its words, and with the truth about what failed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from shared import db
from shared.channels import sending
from shared.config import settings
from shared.db.credentials import encrypt
from shared.media import in_memory
from shared.models import TelegramBot
from tests.integration.front_door import FrontDoor
from tests.integration.test_colleagues_changes import change_by
from tests.integration.test_front_door_api import Business
from tests.integration.test_parts import SERVICES, Killed, die, go_on
from tests.integration.test_sent_files import PDF, PNG, agent, at_desk, send
from tests.integration.test_who_may_answer import events

pytestmark = pytest.mark.usefixtures("own_folder")

CHANNELS = ["whatsapp_cloud", "telegram", "whatsapp_qr"]


@pytest.fixture
def mine(door: FrontDoor) -> Business:
    """The business's server."""
    return Business(door, door.world.customer)


def talk_on(door: FrontDoor, channel: str, dialect: str = "waha") -> None:
    """A customer who writes there, and was answered."""
    with db.connection():
        secrets = {"token": encrypt(f"700:{'t' * 35}"), "webhook_secret": encrypt("secret")}
        TelegramBot.create(chatbot=door.world.chatbot, bot_id="700", username="shop_bot", **secrets)
    db.rows("update whatsapp_qr_session set dialect = %s", [dialect])
    door.world.say(channel=channel, user="49123")
    door.world.drain()


def arrived(door: FrontDoor, service: str) -> list[tuple[str, bool]]:
    """What has arrived since the bot's answer: its words, and whether it is a file."""
    rows = [row for row in door.world.simulator.record(service) if row["accepted"] and (row["text"] or row["file"])]
    return [(row["text"], bool(row["file"])) for row in rows[1:]]


def message_of(door: FrontDoor) -> dict[str, Any]:
    return [one for one in door.world.messages(role="assistant") if one["kind"] == "media"][-1]


def send_job(door: FrontDoor, mine: Business, **form: Any) -> int:
    """Of a file that is about to leave."""
    assert send(door, mine, **form).status_code == 202
    door.world.run(door.world.jobs(queue="outgoing-messages")[-1]["id"])
    return int(door.world.jobs()[-1]["id"])


_BY_DIALECT = [*((name, SERVICES[name], "waha") for name in CHANNELS), ("whatsapp_qr", "evolution", "evolution")]


@pytest.mark.parametrize(("channel", "service", "dialect"), _BY_DIALECT)
def test_a_file_leaves_with_its_caption(door: FrontDoor, mine: Business, channel: str, service: str, dialect: str) -> None:
    talk_on(door, channel, dialect)
    door.world.endpoint(door.world.customer)
    assert send(door, mine, content="Our *prices*").status_code == 202
    assert send(door, mine, PDF, "Preise.pdf").status_code == 202
    door.world.drain()
    assert [file["name"] for row in door.world.simulator.record(service) if (file := row["file"])][-1] == "Preise.pdf"
    seen = [row["file"] for row in door.world.simulator.record(service) if row["file"]]
    assert [file["sha256"] for file in seen] == [hashlib.sha256(content).hexdigest() for content in (PNG, PDF)]
    assert arrived(door, service)[0][0].replace("*", "") == "Our prices"
    assert arrived(door, service)[1] == ("", True), "no label is sent as words"
    sent = [one for one in door.world.messages(role="assistant") if one["kind"] == "media"]
    assert {one["status"] for one in sent} == {"SENT"}
    assert all(one["external_id"] for one in sent)
    assert {event["kind"] for event in events("message.sent")} == {"media"}


@pytest.mark.parametrize("channel", ["whatsapp_cloud", "telegram"])
def test_a_text_without_room_beside_its_file_follows_it(
    door: FrontDoor, mine: Business, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk_on(door, channel)
    job = send_job(door, mine, content="x" * 1_500)
    keep = sending.keep_parts_sent

    def kept(message: Any, count: int, part_id: str) -> None:
        keep(message, count, part_id)
        monkeypatch.setattr(sending, "keep_parts_sent", keep)
        raise Killed

    monkeypatch.setattr(sending, "keep_parts_sent", kept)
    die(door.world, job)  # between the file and its text
    go_on(door.world, job)
    assert arrived(door, SERVICES[channel]) == [("", True), ("x" * 1_500, False)], "each once"
    assert message_of(door)["status"] == "SENT"


def test_a_send_whose_answer_was_lost_is_not_made_twice(door: FrontDoor, mine: Business) -> None:
    talk_on(door, "whatsapp_cloud")
    job = send_job(door, mine, content="See")
    door.world.simulator.faults([{"kind": "graph", "fault": "reset_after"}])
    door.world.run(job)
    assert arrived(door, "graph") == [("See", True)]
    assert message_of(door)["status"] == "PENDING"
    [delayed] = [one for one in door.world.jobs() if one["id"] == job]
    assert (delayed["state"], delayed["outcome_unknown_since"] is not None) == ("delayed", True)


def test_an_upload_that_fails_has_sent_nothing_and_is_tried_again(door: FrontDoor, mine: Business) -> None:
    talk_on(door, "whatsapp_cloud")
    job = send_job(door, mine, content="See")
    door.world.simulator.faults([{"kind": "graph_upload", "fault": "status", "status": 500, "body": {}}])
    door.world.run(job)
    [delayed] = [one for one in door.world.jobs() if one["id"] == job]
    assert (delayed["state"], delayed["outcome_unknown_since"]) == ("delayed", None)
    door.world.simulator.faults([])
    go_on(door.world, job)
    assert (arrived(door, "graph"), message_of(door)["status"]) == ([("See", True)], "SENT")


def test_a_file_that_is_gone_fails_and_says_so(door: FrontDoor, mine: Business) -> None:
    talk_on(door, "telegram")
    job = send_job(door, mine, content="See")
    db.rows("update media set state = 'deleted', storage_key = null")
    door.world.run(job)
    door.world.dead_letter(job)
    failed = message_of(door)
    assert (failed["status"], failed["metadata"]["error_code"]) == ("FAILED", "file_gone")
    assert arrived(door, "telegram") == []


def test_a_storage_that_is_away_and_memory_that_is_full_cost_no_attempt(
    door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk_on(door, "telegram")
    job = send_job(door, mine, content="See")
    place = Path(settings().media_folder)
    shutil.move(place, place.with_name("away"))
    place.write_text("no folder", encoding="utf-8")
    door.world.run(job)
    place.unlink()
    shutil.move(place.with_name("away"), place)
    monkeypatch.setattr(in_memory, "MOST_OF_ONE", 1)
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job])
    with in_memory.hold(door.world.customer, 1, 0):
        door.world.run(job)
    [waiting] = [one for one in door.world.jobs() if one["id"] == job]
    assert (waiting["state"], waiting["attempts"], "other files are in memory" in waiting["last_error"]) == ("delayed", 0, True)
    go_on(door.world, job)
    assert (arrived(door, "telegram"), message_of(door)["status"]) == ([("See", True)], "SENT")


def test_the_desk_shows_what_became_of_a_file_without_words_on_the_phone(door: FrontDoor, mine: Business) -> None:
    talk_on(door, "whatsapp_qr")
    send(door, mine)
    door.world.drain()
    emma, sent = agent(door), message_of(door)["external_id"]
    assert "[image]" not in emma.get(at_desk(door, "/thread")).text
    change_by(door, "waha", sent, "The prices of today")
    assert "The prices of today" in emma.get(at_desk(door, "/thread")).text
    change_by(door, "waha", sent, None)
    assert "deleted on the phone" in emma.get(at_desk(door, "/thread")).text
