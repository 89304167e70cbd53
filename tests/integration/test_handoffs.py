"""Why a conversation is handed over to a person, what its customer is told, and what the bot knows when it has it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from peewee import DatabaseError

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.models import Chatbot
from shared.queues import Queue
from tests.builders import World
from tests.integration.test_honesty import PERSON, UNKNOWN, ask, change, handoffs
from tests.integration.test_who_may_answer import conversation, run, statuses, take_over

ALWAYS = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


def opens(hours: dict[str, Any] | None, zone: str, at: str) -> datetime | None:
    found: datetime | None = db.scalar("select opens_at_v1(%s, %s, %s)", [db.json(hours) if hours else None, zone, at])
    return found


def closed_now() -> dict[str, Any]:
    """Hours of a business that opens in about two days."""
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%a").lower()
    return {day: [["09:00", "17:00"]]}


def test_a_customer_who_got_the_fallback_has_a_person(world: World) -> None:
    world.endpoint(world.customer)
    change(world, handover_message="A colleague writes to you.")
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 401}])
    world.say(channel="whatsapp_cloud", user="49171")
    run(world, Queue.INCOMING)
    [job] = world.jobs(queue=Queue.AI)
    world.run(job["id"])
    world.dead_letters()
    assert (conversation()["owner"], conversation()["handover_reason"]) == ("person", "provider_down")
    world.drain()
    assert [(reply["content"], reply["status"]) for reply in world.messages(role="assistant")] == [("We are busy.", "SENT")]
    assert [event["reason"] for event in handoffs()] == ["provider_down"]


def test_a_fallback_that_promises_nothing_hands_nothing_over(world: World) -> None:
    change(world, fallback_hands_over=False)
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 401}])
    world.say()
    world.drain()
    world.dead_letters()
    world.drain()
    assert (statuses(world), conversation()["owner"], conversation()["handed_over_at"]) == (["SENT"], "bot", None)


def test_so_many_questions_in_a_row_without_an_answer_hand_over(world: World) -> None:
    change(
        world, no_answer_hands_over=True, no_answer_hands_over_after=2, no_answer_message="No idea.", handover_message="Ada will."
    )
    assert ask(world, UNKNOWN)["content"] == "No idea."
    assert ask(world, "When do you ship?")["content"] != "No idea."
    assert ask(world, UNKNOWN)["content"] == "No idea.", "they were not in a row"
    assert conversation()["owner"] == "bot"
    assert ask(world, UNKNOWN)["content"] == "No idea.\n\nAda will."
    assert conversation()["handover_reason"] == "misses"


def test_when_it_is_closed_the_customer_is_told_so_and_the_time_to_come_begins_when_it_opens(world: World) -> None:
    hours = closed_now()
    change(world, opening_hours=hours, closed_message="We are back on Monday.", return_after_minutes=60)
    assert ask(world, "When do you ship?")["content"] != "We are back on Monday.", "the bot works at night"
    assert ask(world, PERSON)["content"] == "We are back on Monday."
    assert conversation()["handover_reason"] == "asked"
    opened = opens(hours, "UTC", datetime.now(UTC).isoformat())
    assert opened is not None
    assert conversation()["returns_at"] == opened + timedelta(hours=1)


def test_a_bot_may_leave_all_to_people_when_it_is_closed(world: World) -> None:
    change(world, opening_hours=closed_now(), closed_hands_over=True, handover_message="We write tomorrow.")
    assert ask(world, "When do you ship?")["content"] == "We write tomorrow."
    assert conversation()["handover_reason"] == "out_of_hours"
    assert not world.simulator.record("ai"), "nobody was asked"
    change(world, opening_hours=ALWAYS)
    take_over(owner="bot")
    assert ask(world, "When do you ship?")["content"] != "We write tomorrow."


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-26 08:30+00", "2026-11-26 08:30+00"),  # Thursday, 09:30 in Berlin: open
        ("2026-11-26 11:30+00", "2026-11-26 12:00+00"),  # at noon
        ("2026-11-26 16:00+00", "2026-11-30 08:00+00"),  # until Monday
        ("2026-03-28 23:00+00", "2026-03-30 07:00+00"),  # clocks went forward in between
    ],
)
def test_hours_are_those_of_the_place(at: str, expected: str) -> None:
    hours = {"mon": [["09:00", "17:00"]], "thu": [["09:00", "12:00"], ["13:00", "17:00"]]}
    assert opens(hours, "Europe/Berlin", at) == datetime.fromisoformat(expected)
    assert opens(None, "Europe/Berlin", at) == datetime.fromisoformat(at)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"monday": []},
        {"mon": []},
        {"mon": [["9", "17"]]},
        {"mon": [["17:00", "09:00"]]},
        {"mon": [["09:00"]]},
        {"mon": "all day"},
    ],
)
def test_no_business_is_open_when_nobody_could_be(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError):
        change(world, opening_hours=wrong)


def test_what_made_the_bot_hand_over_does_not_make_it_do_so_again(world: World) -> None:
    """The model reads what the person wrote, and not what was asked before."""
    world.say("My name is Zoe.")
    world.drain()
    ask(world, PERSON)
    take_over(by="phone")
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, content, status, role, metadata)"
        " select id, chatbot_id, channel, 'You get a discount.', 'SENT', 'agent', '{\"author\": \"Ada\"}' from conversation"
    )
    take_over(owner="bot")
    world.say("When do you ship?")
    run(world, Queue.INCOMING)
    loaded = world.claim(world.jobs(queue=Queue.AI)[-1]["id"]).loaded
    assert loaded is not None
    assert [(turn[1], turn[3]) for turn in loaded["history"]] == [("You get a discount.", "Ada"), ("When do you ship?", None)]


def test_who_waits_for_a_person_in_vain_is_answered_in_time_however_often_they_ask(world: World) -> None:
    change(world, return_after_minutes=30)
    ask(world, PERSON)
    due = conversation()["returns_at"]
    world.say("Hello?")
    world.drain()
    assert conversation()["returns_at"] == due
    db.rows("update conversation set returns_at = now() - interval '1 second'")
    world.say("When do you ship?")
    world.drain()
    assert (conversation()["owner"], len(world.messages(role="assistant"))) == ("bot", 2)


@pytest.mark.parametrize("text", ["Ada comes.", None])
def test_whoever_hands_over_has_the_customer_told_once(world: World, text: str | None) -> None:
    db.rows(Chatbot.update(handover_message=text))
    world.endpoint(world.customer)
    question = world.say(channel="whatsapp_cloud", user="49171")
    run(world, Queue.INCOMING)
    for _ in range(2):
        with db.transaction():
            tickets = db.scalar("select hand_over_v1(%s, 'budget', %s)", [conversation()["id"], question])
        enqueue(tickets_of(tickets))
    world.drain()
    told = [(reply["content"], reply["status"], reply["reply_to"]) for reply in world.messages(role="assistant")]
    assert told == ([(text, "SENT", question)] if text else [])
    assert [event["reason"] for event in handoffs()] == ["budget"]
    assert (conversation()["owner"], conversation()["handover_reason"]) == ("person", "budget")
    assert ownership.return_idle() == 0
