"""Two bots that answer each other: the bot falls silent, the business hears of it once, and no reply is paid for any more."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels import ownership
from shared.config import ConfigError, read_settings
from shared.inbox import work
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from web.api import keys

AWAY = "Thank you for contacting Tire House. We are away until Monday."


def talk(world: World, texts: list[str], **more: Any) -> None:
    """Each message is written when the one before is answered."""
    for text in texts:
        world.say(text, channel="whatsapp_cloud", user="49123", **more)
        world.drain()


def brake(world: World) -> dict[str, Any]:
    """The conversation's brake; `lasts`: for how many seconds from now."""
    row = db.row(
        "select braked_until, brakes, extract(epoch from braked_until - clock_timestamp())::float8 as lasts from conversation"
    )
    assert row is not None
    return row


def braked_events() -> list[dict[str, Any]]:
    return [
        row["payload"] for row in db.rows("select payload from webhook_event where event = 'conversation.braked' order by id")
    ]


@pytest.mark.parametrize(
    ("texts", "replies", "reason"),
    [
        ([AWAY] * 40, 5, "same_text"),
        ([AWAY, AWAY.upper(), f" {AWAY} "] * 13, 5, "same_text"),
        ([AWAY, "We will be back soon, we promise."] * 20, 10, "same_text"),
        ([f"Your ticket {number} was updated, we are working on it." for number in range(95, 135)], 10, "same_text"),
        ([f"{'abcdefghijklmnopqrstuvwxyz'[number % 26] * number} was updated." for number in range(40)], 30, "instant_answers"),
    ],
)
def test_a_loop_ends_is_told_once_and_every_message_is_kept(
    world: World, simulator: Simulator, texts: list[str], replies: int, reason: str
) -> None:
    world.endpoint(world.customer)
    talk(world, texts)
    assert len(simulator.record("ai")) == len(world.messages(role="assistant")) == replies
    assert len(world.messages(role="user")) == len(texts)
    assert {job["state"] for job in world.jobs()} == {"completed"}
    [event] = braked_events()
    assert (event["reason"], event["channel"], event["external_user_id"]) == (reason, "whatsapp_cloud", "49123")
    assert 1_700 < brake(world)["lasts"] <= 1_800


def test_so_many_replies_are_enough(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATION_REPLY_LIMIT", "10/1m")
    config.reset()
    for number in range(30):  # a flood: none waits for an answer
        world.say(f"line {number}")
    world.drain(200)
    assert len(world.messages(role="assistant")) == len(simulator.record("ai")) == 10
    world.say("somebody else", user="v-2")
    world.drain()
    assert len(world.messages(role="assistant")) == 11


def test_a_person_who_writes_fast_is_answered(world: World) -> None:
    for number in range(20):
        world.say(f"short line {number}")
        if number % 3 == 0:
            world.drain()
    world.drain(200)
    assert len(world.messages(role="assistant")) == 20
    assert brake(world)["braked_until"] is None


def test_what_comes_after_the_silence_is_answered_and_the_next_brake_lasts_longer(world: World) -> None:
    talk(world, [AWAY] * 7)
    assert (brake(world)["brakes"], len(world.messages(role="assistant"))) == (1, 5)
    db.rows("update conversation set braked_until = now()")
    db.rows("update message set created_at = created_at - interval '1 hour'")
    talk(world, ["Is anybody there now?"])
    assert len(world.messages(role="assistant")) == 6
    talk(world, [AWAY] * 7)
    assert len(world.messages(role="assistant")) == 11
    assert brake(world)["brakes"] == 2
    assert 3_500 < brake(world)["lasts"] <= 3_600
    db.rows("update conversation set braked_until = now() - interval '2 days'")
    db.rows("update message set created_at = created_at - interval '1 hour'")
    talk(world, [AWAY] * 6)
    assert brake(world)["brakes"] == 1
    assert brake(world)["lasts"] <= 1_800


def test_a_person_lets_the_bot_answer_again(door: FrontDoor) -> None:
    world = door.world
    world.endpoint(world.customer)
    talk(world, [AWAY] * 6)
    thread = f"/desk/c/{world.customer}/conversations/{db.scalar('select id from conversation')}"
    emma = Visitor(door.client.application, person("agent", world.customer, "Emma"))
    assert "Let the bot answer again" in emma.get(thread).text
    assert emma.post(f"{thread}/bot").status_code == 303
    assert "Let the bot answer again" not in emma.get(thread).text
    world.drain()
    assert len(world.messages(role="assistant")) == 6, "what came during the silence is answered"
    assert db.scalar("select count(*) from audit_entry where action = 'conversation.returned'") == 1
    [told] = db.rows("select payload from webhook_event where event = 'conversation.returned'")
    assert (told["payload"]["owner"], told["payload"]["by"], told["payload"]["channel"]) == ("bot", "desk", "whatsapp_cloud")
    talk(world, [AWAY] * 7)
    assert (len(world.messages(role="assistant")), brake(world)["brakes"]) == (10, 1), "another loop ends as the first did"
    assert brake(world)["lasts"] > 0
    headers = {"Authorization": f"Bearer {keys.create(world.customer, 'server')}"}
    address = f"/api/v1/conversations/{db.scalar('select id from conversation')}"
    assert door.client.patch(address, json={"owner": "bot"}, headers=headers).status_code == 200
    assert brake(world)["lasts"] <= 0


def test_a_message_that_arrives_as_the_silence_ends_is_answered_once(world: World) -> None:
    talk(world, [AWAY] * 6)
    world.say("Is anybody there?", channel="whatsapp_cloud", user="49123")
    [job] = world.jobs(queue="incoming-messages", state="waiting")
    world.run(job["id"])
    with db.transaction():
        ownership.assign(db.scalar("select id from conversation"), "bot", "desk")
    world.drain()
    assert len(world.messages(role="assistant")) == 6


def test_the_fallback_message_and_unreadable_pictures_loop_no_further(world: World, simulator: Simulator) -> None:
    db.rows("update chatbot set fallback_hands_over = false")  # the bot goes on
    simulator.faults([{"kind": "ai", "fault": "bad_key"}])
    for _ in range(12):
        world.say(AWAY, channel="whatsapp_cloud", user="49123")
        world.drain()
        world.dead_letters()
        world.drain()
    assert len(world.messages(role="assistant")) == len(simulator.record("ai")) == 5


@pytest.mark.parametrize(("value", "answered"), [("auto-replied", False), ("auto-generated", False), ("no", True)])
def test_what_says_that_a_machine_wrote_it_is_not_answered(world: World, value: str, answered: bool) -> None:
    talk(world, ["I am out of office."], metadata={"auto_submitted": value})
    assert bool(world.messages(role="assistant")) is answered
    assert len(world.messages(role="user")) == 1
    assert braked_events() == []


def test_a_brake_holds_across_workers_that_claim_at_the_same_moment(world: World, simulator: Simulator) -> None:
    talk(world, [AWAY] * 5)
    for number in range(8):
        world.say(AWAY, channel="whatsapp_cloud", user="49123", external_id=f"w-{number}")
    for job in world.jobs(queue="incoming-messages", state="waiting"):
        world.run(job["id"])
    while ready := world.jobs(queue="ai-processing", state="waiting", held=False):
        workers = [threading.Thread(target=world.run, args=(ready[0]["id"],)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(simulator.record("ai")) == 5
    assert brake(world)["brakes"] == 1


def test_what_people_write_goes_out_while_the_bot_is_silent(door: FrontDoor) -> None:
    world = door.world
    talk(world, [AWAY] * 6)
    conversation = db.scalar("select id from conversation")
    headers = {"Authorization": f"Bearer {keys.create(world.customer, 'server')}"}
    answer = door.client.post(
        f"/api/v1/conversations/{conversation}/messages", json={"content": "A person here."}, headers=headers
    )
    assert answer.status_code == 202
    world.drain()
    assert world.messages(role="assistant")[-1]["status"] == "SENT"


def test_the_list_says_where_the_bot_is_silent(door: FrontDoor) -> None:
    talk(door.world, [AWAY] * 6)
    emma = Visitor(door.client.application, person("agent", door.world.customer, "Emma"))
    assert "bot silent" in emma.get(f"/desk/c/{door.world.customer}/inbox?view=all").text
    db.rows("update conversation set braked_until = now()")
    assert "bot silent" not in emma.get(f"/desk/c/{door.world.customer}/inbox?view=all").text


def test_who_takes_a_conversation_and_gives_it_back_has_ended_the_silence(world: World) -> None:
    talk(world, [AWAY] * 6)
    conversation = db.scalar("select id from conversation")
    emma = person("agent", world.customer, "Emma")
    work.take(conversation, emma.id)
    work.hand_to(conversation, "bot", lambda: None)
    world.drain()
    assert len(world.messages(role="assistant")) == 6, "what came during the silence is answered"
    assert (brake(world)["brakes"], brake(world)["lasts"] <= 0) == (0, True)


@pytest.mark.parametrize("value", ["4/1m", "101/10m", "60/2h", "many"])
def test_a_limit_that_the_stage_cannot_see_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CONVERSATION_REPLY_LIMIT", value)
    with pytest.raises(ConfigError, match="CONVERSATION_REPLY_LIMIT: Must be"):
        read_settings()
