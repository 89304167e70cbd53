"""A reply whose customer the QR gateway does not know under the name that they wrote from leaves under their other one."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from tests.builders import World
from tests.integration.test_contacts import PHONE

LID = "77123456@lid"
UNKNOWN_TO_EVOLUTION = {"status": 400, "body": {"response": {"message": [{"exists": False, "jid": LID, "number": LID}]}}}


def of_engine(words: str) -> dict[str, Any]:
    return {"status": 500, "body": {"statusCode": 500, "exception": {"message": words}}}


#: The gateway, the name that the customer writes from, their other one, and what the gateway answers to the first.
CASES = {
    "Evolution, a @lid": ("evolution", LID, f"{PHONE}@s.whatsapp.net", UNKNOWN_TO_EVOLUTION),
    "GOWS, a number": (
        "waha",
        f"{PHONE}@c.us",
        LID,
        of_engine(f"2 UNKNOWN: no LID found for {PHONE} from server"),
    ),
    "WEBJS, a number": ("waha", f"{PHONE}@c.us", LID, of_engine("No LID for user")),
    "WEBJS of 2026, a number": ("waha", f"{PHONE}@c.us", LID, of_engine("Lid is missing in chat table")),
}


def write(world: World, dialect: str, name: str, *others: str) -> None:
    """The customer writes, and is answered."""
    db.rows("update whatsapp_qr_session set dialect = %s", [dialect])
    said = {"external_user_id": name, "external_id": "IN1", "content": "When do you ship?", "identities": list(others)}
    world.service.accept_message({"chatbot_id": world.chatbot, "channel": "whatsapp_qr", **said})
    world.drain()
    world.dead_letters()


def calls(simulator: Simulator, dialect: str) -> list[tuple[str, bool]]:
    """To whom it was sent, and whether that was taken."""
    return [(call["key"], call["accepted"]) for call in simulator.record(dialect)]


@pytest.mark.parametrize(("dialect", "name", "other", "refusal"), CASES.values(), ids=CASES)
def test_it_leaves_under_the_other_name_at_once(
    world: World, simulator: Simulator, dialect: str, name: str, other: str, refusal: dict[str, Any]
) -> None:
    simulator.faults([{"kind": dialect, "fault": "status", "times": 1, **refusal}])
    write(world, dialect, name, other)
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["attempts"], reply["error"]) == ("SENT", 1, None)
    assert [taken for _, taken in calls(simulator, dialect)] == [False, True]
    assert calls(simulator, dialect)[1][0].partition("@")[0] == other.partition("@")[0]


@pytest.mark.parametrize("others", [(), (f"{PHONE}@s.whatsapp.net",)], ids=["no other name", "nor under the other one"])
def test_who_is_known_under_no_name_is_not_on_whatsapp(world: World, simulator: Simulator, others: tuple[str, ...]) -> None:
    simulator.faults([{"kind": "evolution", "fault": "status", **UNKNOWN_TO_EVOLUTION}])
    write(world, "evolution", LID, *others)
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["metadata"]["error_code"]) == ("FAILED", "recipient_unreachable")
    assert len(calls(simulator, "evolution")) == 1 + len(others)


def test_what_may_have_been_sent_is_tried_under_no_other_name(world: World, simulator: Simulator) -> None:
    simulator.faults([
        {"kind": "evolution", "fault": "status", "times": 1, **UNKNOWN_TO_EVOLUTION},
        {"kind": "evolution", "fault": "reset_after"},
    ])  # fmt: skip
    write(world, "evolution", LID, f"{PHONE}@s.whatsapp.net", "88@lid")
    assert [taken for _, taken in calls(simulator, "evolution")] == [False, True]
    [job] = world.jobs(queue="whatsapp-qr-send")
    assert (job["state"], job["outcome_unknown_since"] is None) == ("delayed", False)


def test_a_name_that_was_given_up_is_not_written_to(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "evolution", "fault": "status", "times": 1, **UNKNOWN_TO_EVOLUTION}])
    db.rows("update chatbot set debounce_seconds = 9")
    write(world, "evolution", LID, f"{PHONE}@s.whatsapp.net")
    db.rows("update contact_identity set left_at = now() where name = %s", [PHONE])
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    world.drain()
    assert len(calls(simulator, "evolution")) == 1
