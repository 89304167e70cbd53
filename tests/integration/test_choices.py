"""Choices that a reply offers: how each channel shows them, and that the answer is understood."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business

CHOICES = [{"id": "ship", "title": "Delivery"}, {"id": "back", "title": "2 weeks to return"}, {"title": "A person"}]


@pytest.fixture
def business(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


def offer(door: FrontDoor, business: Business, channel: str, user: str = "5511912345678", **more: Any) -> dict[str, Any]:
    """A customer writes, and is offered choices; returns the message."""
    door.world.say(channel=channel, user=user)
    door.world.drain()
    path = f"/conversations/{db.scalar('select max(id) from conversation')}/messages"
    sent = business("POST", path, {"content": "What is it **about**?", "choices": CHOICES, "take_over": False, **more})
    assert sent.status_code == 202, sent.text
    door.world.drain()
    return dict(sent.json or {})


def test_each_channel_shows_choices_as_it_can(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    sent = offer(door, business, "whatsapp_cloud")
    assert sent["data"]["choices"] == [*CHOICES[:2], {"id": "3", "title": "A person"}]
    assert simulator.record("graph")[-1]["text"] == "What is it *about*?\n[Delivery]\n[2 weeks to return]\n[A person]"
    offer(door, business, "whatsapp_qr", "5511912345678@c.us")
    assert simulator.record("waha")[-1]["text"] == "What is it *about*?\n\n1. Delivery\n2. 2 weeks to return\n3. A person"
    assert {message["status"] for message in door.world.messages(role="assistant")} == {"SENT"}


#: What is typed in answer, and the choice that it is; None: none.
TYPED = {
    "1": "ship",
    " 2. ": "back",
    "(3)": "3",
    "#1": "ship",
    "02": "back",
    "٢": "back",
    "(۳)": "3",
    "१.": "ship",
    "delivery": "ship",
    "  DELIVERY! ": "ship",
    "2 weeks to return": "back",
    "a  person": "3",
    "4": None,
    "0": None,
    "12": None,
    "2 weeks": None,
    "Delivery times?": None,
    "1, please": None,
}


@pytest.mark.parametrize("channel", ["whatsapp_qr", "widget"])
@pytest.mark.parametrize("typed", TYPED)
def test_a_number_or_a_title_is_that_choice(door: FrontDoor, business: Business, channel: str, typed: str) -> None:
    offer(door, business, channel)
    said = door.world.say(typed, channel, user="5511912345678")
    door.world.drain()
    [message] = door.world.messages(id=said)
    chosen = TYPED[typed]
    titles = {"ship": "Delivery", "back": "2 weeks to return", "3": "A person", None: typed}
    assert (message["content"], message["kind"]) == (titles[chosen], "choice" if chosen else "text")
    expected = {"choice": {"id": chosen, "title": titles[chosen], "typed": typed}} if chosen else {}
    assert message["data"] == expected


@pytest.mark.parametrize("typed", [typed for typed in TYPED if TYPED[typed] and typed.strip(" (#").rstrip(" .)").isdigit()])
def test_a_number_is_that_choice_to_whatsapp_cloud_as_well(door: FrontDoor, business: Business, typed: str) -> None:
    offer(door, business, "whatsapp_cloud")
    said = door.world.say(typed, "whatsapp_cloud", user="5511912345678")
    door.world.drain()
    assert door.world.messages(id=said)[0]["data"]["choice"]["id"] == TYPED[typed]


@pytest.mark.parametrize("typed", ["٢", "๑๑", "𝟛", "२ weeks"])
def test_digits_that_the_database_takes_for_digits_cost_no_message(world: World, typed: str) -> None:
    """As a database does whose locale is ICU's."""
    named = db.scalar('select choice_named_v2(%s, %s collate "pg_unicode_fast")', [db.json(CHOICES), typed])
    assert named == (CHOICES[1] if typed == "٢" else None)


def test_a_number_is_a_choice_only_in_answer_to_choices(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    offer(door, business, "whatsapp_qr")
    door.world.say("Hello?", "whatsapp_qr", user="5511912345678")
    door.world.drain()  # the bot answers without choices
    said = door.world.say("2", "whatsapp_qr", user="5511912345678")
    other = door.world.say("2", "whatsapp_qr", user="other")
    door.world.drain()
    assert [door.world.messages(id=one)[0]["kind"] for one in (said, other)] == ["text", "text"]


def test_the_model_reads_what_was_offered_and_what_was_chosen(door: FrontDoor, business: Business) -> None:
    offer(door, business, "whatsapp_cloud")
    door.world.say("1", "whatsapp_cloud", user="5511912345678")
    [saved] = door.world.jobs(queue="incoming-messages", state="waiting")
    door.world.run(saved["id"])
    [asked] = door.world.jobs(queue="ai-processing", state="waiting")
    history = [turn[1] for turn in door.world.claim(asked["id"]).loaded["history"]]  # type: ignore[index]
    assert history[-2:] == ["What is it **about**?\n1. Delivery\n2. 2 weeks to return\n3. A person", "Delivery"]


#: Choices that are refused, and a piece of what is said.
WRONG: dict[str, tuple[Any, str]] = {
    "none": ([], "choices"),
    "too many": ([{"title": str(number)} for number in range(11)], "choices"),
    "without a title": ([{"id": "a"}], "title"),
    "a long title": ([{"title": "x" * 61}], "title"),
    "alike": ([{"title": "A"}, {"title": "a"}], "must not have two choices with the same title"),
    "a blank one": ([{"title": " "}], "must not be empty"),
    "no list": ("A, B", "choices"),
}


@pytest.mark.parametrize("case", WRONG)
def test_choices_that_are_wrong_are_refused_by_name(door: FrontDoor, business: Business, case: str) -> None:
    door.world.say()
    door.world.drain()
    choices, words = WRONG[case]
    path = f"/conversations/{db.scalar('select id from conversation')}/messages"
    answer = business("POST", path, {"content": "What?", "choices": choices})
    assert (answer.status_code, words in answer.text) == (422, True), answer.text
