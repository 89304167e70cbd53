"""Colleagues who answer on the phone, and our own sends, which gateways report in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import echoes, ownership
from shared.channels.echoes import Writer
from shared.channels.whatsapp_qr import evolution
from shared.channels.whatsapp_qr.ids import own_id
from shared.models import Message, WhatsappQrSession
from shared.queues import Queue
from tests.builders import World, stage_of_queue
from tests.integration.front_door import FrontDoor, evolution_message, waha_event, waha_message, webhook
from tests.integration.test_ledger_races import another_session, until_waiting
from tests.integration.test_who_may_answer import conversation, events, run, statuses

PHONE = "5511912345678"


def of_waha(identity: str, text: str = "Ada here.", event: str = "message.any", **more: Any) -> dict[str, Any]:
    """What WAHA reports as sent from the phone."""
    chat = f"{PHONE}@c.us"
    message = waha_message(identity, text)["payload"]
    sent = {**message, "id": f"true_{chat}_{identity}", "from": "551130001000@c.us", "to": chat, "fromMe": True, "source": "app"}
    return waha_event(event, {**sent, **more})


def of_evolution(identity: str, text: str = "Ada here.") -> dict[str, Any]:
    return evolution_message(identity, {"conversation": text}, fromMe=True)


def field(door: FrontDoor, name: str, **value: Any) -> dict[str, Any]:
    """A change of one of Meta's other fields."""
    metadata = {"display_phone_number": "551130001000", "phone_number_id": door.number}
    return webhook({"field": name, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}})


def of_meta(identity: str, text: str = "Ada here.") -> dict[str, Any]:
    at = str(int(time.time()))
    return {"from": "551130001000", "to": PHONE, "id": identity, "timestamp": at, "type": "text", "text": {"body": text}}


def with_evolution() -> None:
    db.rows(WhatsappQrSession.update(dialect="evolution"))


def write_by(door: FrontDoor, way: str, identity: str, text: str = "Ada here.") -> None:
    """What a colleague writes on the phone comes in."""
    if way == "cloud":
        answer = door.meta(field(door, "smb_message_echoes", message_echoes=[of_meta(identity, text)]))
    elif way == "waha":
        answer = door.waha(of_waha(identity, text))
    else:
        with_evolution()
        answer = door.evolution(of_evolution(identity, text))
    assert answer.status_code == 200


WAYS = {"cloud": "whatsapp_cloud", "waha": "whatsapp_qr", "evolution": "whatsapp_qr"}


def customer_name(way: str) -> str:
    return {"cloud": PHONE, "waha": f"{PHONE}@c.us", "evolution": f"{PHONE}@s.whatsapp.net"}[way]


@pytest.mark.parametrize("way", WAYS)
def test_what_a_colleague_writes_on_the_phone_is_kept_and_the_bot_steps_aside(door: FrontDoor, world: World, way: str) -> None:
    world.endpoint(world.customer)
    world.say(channel=WAYS[way], user=customer_name(way))
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)  # a reply waits to be sent
    for _ in range(2):
        write_by(door, way, "ECHO1")
    run(world, Queue.INCOMING)
    world.drain()
    assert statuses(world) == ["SUPERSEDED"]
    [told] = world.messages(role="agent")
    assert (told["content"], told["status"], told["external_id"]) == ("Ada here.", "SENT", "ECHO1")
    assert told["conversation_id"] == conversation()["id"]
    assert [(event["owner"], event["by"]) for event in events("conversation.assigned")] == [("person", "phone")]
    db.rows("delete from job where closed_at is not null")  # an hour later
    write_by(door, way, "ECHO1")
    asked = len(world.simulator.record("ai"))
    world.say("Thank you, Ada!", channel=WAYS[way], user=customer_name(way))
    world.drain()
    assert (len(world.messages(role="agent")), len(world.simulator.record("ai"))) == (1, asked)
    assert [event["content"] for event in events("message.received")] == ["When do you ship?", "Thank you, Ada!"]


def test_one_message_under_the_names_of_two_events_is_one(door: FrontDoor, world: World) -> None:
    for event in ("message", "message.any"):
        assert door.waha({**waha_message("IN1"), "event": event}).status_code == 200
        assert door.waha(of_waha("OUT1", event=event)).status_code == 200
    world.drain()
    assert [row["role"] for row in db.rows(Message.select(Message.role).order_by(Message.id))][:2] == ["user", "agent"]
    assert db.scalar("select count(*) from message where role <> 'assistant'") == 2


def sent_reply(world: World, user: str) -> dict[str, Any]:
    world.say(channel="whatsapp_qr", user=user)
    world.drain()
    [reply] = world.messages(role="assistant")
    assert reply["status"] == "SENT"
    return reply


def own_by_source(door: FrontDoor, reply: dict[str, Any]) -> None:
    door.waha(of_waha("SOMEOTHER", source="api"))


def own_by_waha(door: FrontDoor, reply: dict[str, Any]) -> None:
    door.waha(of_waha(reply["external_id"], reply["content"], source=None))


def own_under_another_name(door: FrontDoor, reply: dict[str, Any]) -> None:
    decorated = f"true_987654321@lid_{reply['external_id']}"
    door.waha(of_waha("", reply["content"], id=decorated, to="987654321@lid", source=None))


def own_by_evolution(door: FrontDoor, reply: dict[str, Any]) -> None:
    with_evolution()
    door.evolution(of_evolution(reply["external_id"], reply["content"]))


@pytest.mark.parametrize("echo", [own_by_source, own_by_waha, own_under_another_name, own_by_evolution])
def test_what_we_sent_ourselves_takes_nothing_over(door: FrontDoor, world: World, echo: Callable[..., None]) -> None:
    reply = sent_reply(world, f"{PHONE}@c.us")
    for _ in range(2):
        echo(door, reply)
    world.drain()
    assert db.scalar("select count(*) from conversation where owner <> 'bot'") == 0
    assert db.scalar("select count(*) from message") == 2


def under_way(world: World) -> Any:
    """The claimed job of a send whose answer is not there yet."""
    with_evolution()
    world.say(channel="whatsapp_qr", user=customer_name("evolution"))
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    return world.claim(world.jobs(queue=Queue.WHATSAPP_QR)[0]["id"])


def waiting_echoes() -> list[dict[str, Any]]:
    return db.rows("select * from job where queue = 'incoming-messages' and closed_at is null")


def later(world: World) -> None:
    db.rows("update job set run_at = now() where state = 'delayed'")
    for job in waiting_echoes():
        world.run(job["id"])
    world.drain()


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "a colleague's"])
def test_an_echo_that_is_faster_than_the_answer_waits_for_it(door: FrontDoor, world: World, is_ours: bool) -> None:
    send = under_way(world)
    door.evolution(of_evolution("GATEWAYS-OWN-ID", "some words"))
    run(world, Queue.INCOMING)
    assert len(waiting_echoes()) == 1
    stage_of_queue(Queue.WHATSAPP_QR)(send)
    if is_ours:  # the gateway does not take our ids
        db.rows("update message set external_id = 'GATEWAYS-OWN-ID' where role = 'assistant'")
    later(world)
    assert (waiting_echoes(), conversation()["owner"]) == ([], "bot" if is_ours else "person")
    assert len(world.messages(role="agent")) == (not is_ours)


def test_an_echo_is_ours_whenever_the_answer_is_stored_while_its_writer_is_looked_up(door: FrontDoor, world: World) -> None:
    send = under_way(world)
    [reply] = world.messages(role="assistant")
    door.evolution(of_evolution(own_id(reply["id"]), reply["content"]))
    report = world.claim(waiting_echoes()[0]["id"])
    with another_session() as answer, ThreadPoolExecutor(1) as pool:
        answer.execute("lock table job in access exclusive mode")
        writer = pool.submit(echoes.writer_of, report)
        until_waiting(1)
        answer.execute("update message set external_id = %s, status = 'SENT' where id = %s", [own_id(reply["id"]), reply["id"]])
        answer.execute(
            "update job set state = 'completed', closed_at = now(), lease_until = null, claimed_by = null where id = %s",
            [send.id],
        )
        answer.connection.commit()
        assert writer.result(45) is Writer.WE


def test_an_echo_is_ours_while_the_send_that_a_worker_died_with_waits_for_its_turn(door: FrontDoor, world: World) -> None:
    send = under_way(world)
    [reply] = world.messages(role="assistant")
    door.evolution(of_evolution(own_id(reply["id"]), reply["content"]))
    db.rows("update job set outcome_unknown_since = now(), started_at = null where id = %s", [send.id])
    run(world, Queue.INCOMING)
    [reply] = world.messages(role="assistant")
    assert (reply["external_id"], conversation()["owner"]) == (own_id(reply["id"]), "bot")


def test_an_echo_does_not_wait_for_sends_that_began_after_it_or_for_ever(door: FrontDoor, world: World) -> None:
    send = under_way(world)
    door.evolution(of_evolution("FOREIGN", "some words"))
    db.rows("update job set started_at = clock_timestamp() where id = %s", [send.id])
    run(world, Queue.INCOMING)
    assert conversation()["owner"] == "person", "that send cannot have caused it"
    door.evolution(of_evolution("FOREIGN2", "other words"))
    run(world, Queue.INCOMING)
    assert len(waiting_echoes()) == 1
    db.rows("update job set created_at = created_at - interval '31 seconds', started_at = started_at - interval '1 minute'")
    later(world)
    assert len(world.messages(role="agent")) == 2, "a gateway that never answers holds no colleague back"


@pytest.mark.parametrize("tells_by", ["id", "words"])
def test_an_echo_settles_a_send_whose_answer_was_lost(door: FrontDoor, world: World, tells_by: str) -> None:
    send = under_way(world)
    world.vanish()
    db.rows("update job set outcome_unknown_since = clock_timestamp(), state = 'waiting', lease_until = null, claimed_by = null"
            " where id = %s", [send.id])  # fmt: skip
    [reply] = world.messages(role="assistant")
    identity = own_id(reply["id"]) if tells_by == "id" else "GATEWAYS-OWN-ID"
    door.evolution(of_evolution(identity, reply["content"]))
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["external_id"], conversation()["owner"]) == ("SENT", identity, "bot")
    assert world.simulator.record("evolution") == [], "it is not sent again"
    assert not world.messages(role="agent")


@pytest.mark.parametrize("tells_by", ["id", "words"])
def test_an_echo_settles_the_send_to_its_chat_where_two_people_are_told_the_same(
    door: FrontDoor, world: World, tells_by: str
) -> None:
    with_evolution()
    for user in ("5511900000001@s.whatsapp.net", customer_name("evolution")):
        world.say(channel="whatsapp_qr", user=user)
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    for job in world.jobs(queue=Queue.WHATSAPP_QR):
        world.claim(job["id"])
    of_chat = "select message.* from message join conversation on conversation.id = conversation_id where role = 'assistant'"
    in_order = f"{of_chat} order by external_user_id"
    other, reply = db.rows(in_order)
    identity = own_id(reply["id"]) if tells_by == "id" else "GATEWAYS-OWN-ID"
    assert other["content"] == reply["content"]
    door.evolution(of_evolution(identity, reply["content"]))
    run(world, Queue.INCOMING)
    assert [(row["status"], row["external_id"]) for row in db.rows(in_order)] == [("PENDING", None), ("SENT", identity)]


def test_an_echo_of_a_send_that_died_before_a_takeover_is_no_colleagues(door: FrontDoor, world: World) -> None:
    send = under_way(world)
    world.vanish()
    db.rows("update job set outcome_unknown_since = clock_timestamp(), state = 'waiting', lease_until = null, claimed_by = null"
            " where id = %s", [send.id])  # fmt: skip
    with db.transaction():
        ownership.assign(conversation()["id"], "person", "api")
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["external_id"], world.simulator.record("evolution")) == ("SUPERSEDED", None, [])
    door.evolution(of_evolution("COLLEAGUES", "Ada here."))
    run(world, Queue.INCOMING)
    assert len(world.messages(role="agent")) == 1, "no answer of that send comes any more, so nothing waits for it"
    door.evolution(of_evolution(own_id(reply["id"]), reply["content"]))
    world.drain()
    assert len(world.messages(role="agent")) == 1


ANSWERS_WITHOUT_AN_ID = [
    {"status": 201, "body": ""},
    {"status": 204},
    {"status": 200, "body": "OK"},
    {"status": 200, "body": {"status": "ok"}},
]


@pytest.mark.parametrize("answer", ANSWERS_WITHOUT_AN_ID, ids=str)
def test_an_echo_of_a_reply_whose_answer_named_no_id_is_no_colleagues(
    door: FrontDoor, world: World, simulator: Simulator, answer: dict[str, Any]
) -> None:
    with_evolution()
    simulator.faults([{"kind": "evolution", "fault": "status", **answer}])
    reply = sent_reply(world, customer_name("evolution"))
    assert reply["external_id"] is None
    door.evolution({"event": "messages.update", "data": {"keyId": "GATEWAYS-OWN-ID", "fromMe": True, "status": "READ"}})
    door.evolution(of_evolution("GATEWAYS-OWN-ID", reply["content"]))
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["external_id"], reply["status"]) == ("GATEWAYS-OWN-ID", "READ"), "its id is known from now on"
    assert (conversation()["owner"], world.messages(role="agent")) == ("bot", [])
    door.evolution(of_evolution("COLLEAGUES", "Ada here."))
    world.drain()
    assert (conversation()["owner"], len(world.messages(role="agent"))) == ("person", 1)


@pytest.mark.parametrize("is_repeated", [True, False], ids=["sent again", "about to be sent again"])
def test_an_echo_of_an_attempt_that_seemed_to_fail_is_no_colleagues(
    door: FrontDoor, world: World, simulator: Simulator, is_repeated: bool
) -> None:
    with_evolution()
    evolution._refuse_ids.clear()
    simulator.faults([{"kind": "evolution", "fault": "status", "status": 500, "body": "oops", "times": 1}])
    world.say(channel="whatsapp_qr", user=customer_name("evolution"))
    world.drain()
    if is_repeated:
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
        world.drain()
    [reply] = world.messages(role="assistant")
    assert reply["status"] == ("SENT" if is_repeated else "PENDING")
    door.evolution(of_evolution("OF-THE-FIRST-ATTEMPT", reply["content"]))
    run(world, Queue.INCOMING)
    assert (statuses(world), conversation()["owner"], world.messages(role="agent")) == (["SENT"], "bot", [])
    calls = len(simulator.record("evolution"))
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    world.drain()
    assert len(simulator.record("evolution")) == calls, "what was reported is not sent again"


def test_a_colleague_who_writes_what_could_not_be_sent_takes_over(door: FrontDoor, world: World, simulator: Simulator) -> None:
    with_evolution()
    refusal = {"response": {"message": [{"exists": False}]}}
    simulator.faults([{"kind": "evolution", "fault": "status", "status": 400, "body": refusal}])
    world.say(channel="whatsapp_qr", user=customer_name("evolution"))
    world.drain()
    world.dead_letters()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["metadata"]["error_code"]) == ("FAILED", "recipient_unreachable")
    door.evolution(of_evolution("COLLEAGUES", reply["content"]))
    world.drain()
    assert (conversation()["owner"], len(world.messages(role="agent"))) == ("person", 1)


def test_a_gateway_that_refuses_ids_is_asked_once(world: World, simulator: Simulator) -> None:
    refusal = {"response": {"message": ["property messageId should not exist"]}}
    simulator.faults([{"kind": "evolution", "fault": "status", "status": 400, "match": "messageId", "body": refusal}])
    with_evolution()
    evolution._refuse_ids.clear()
    for user in ("one@s.whatsapp.net", "two@s.whatsapp.net"):
        world.say(channel="whatsapp_qr", user=user)
        world.drain()
    evolution._refuse_ids.clear()
    assert statuses(world) == ["SENT", "SENT"]
    assert [call["accepted"] for call in simulator.record("evolution")] == [False, True, True]


def test_copies_of_anothers_thread_are_kept_and_the_handover_has_them_answered(door: FrontDoor, world: World) -> None:
    world.endpoint(world.customer)
    at = str(int(time.time()))
    copy = {"from": PHONE, "id": "wamid.IN2", "timestamp": at, "type": "text", "text": {"body": "When do you ship?"}}
    answered = {"id": "wamid.E2", "timestamp": at, "message": {"to": PHONE, "type": "text", "text": {"body": "A moment."}}}
    for _ in range(2):
        copies = {"contacts": [{"wa_id": PHONE, "profile": {"name": "Rui"}}], "messages": [copy], "message_echoes": [answered]}
        assert door.meta(field(door, "standby", standby=copies)).status_code == 200
    world.drain()
    assert [(row["role"], row["content"]) for row in world.messages()] == [("user", "When do you ship?"), ("agent", "A moment.")]
    assert (statuses(world), conversation()["owner"]) == ([], "person")
    [opened], [assigned] = events("conversation.opened"), events("conversation.assigned")
    assert (opened["is_new"], opened["sequence"] < assigned["sequence"]) == (True, True)
    again = {**copy, "id": "wamid.IN3", "text": {"body": "And how much is it?"}}
    door.meta(field(door, "standby", standby={"messages": [again]}))
    world.drain()
    passed = {"recipient": {"phone_number_id": door.number}, "sender": {"phone_number": PHONE}, "timestamp": at}
    assert (
        door.meta(field(door, "messaging_handovers", **passed, control_passed={"new_owner_role": "ai_agent"})).status_code == 200
    )
    world.drain()
    assert (statuses(world), conversation()["owner"]) == (["SENT"], "bot")
    assert [event["by"] for name in ("assigned", "returned") for event in events(f"conversation.{name}")] == ["provider"] * 2
    door.meta(field(door, "messaging_handovers", **passed, control_taken={"new_owner_role": "x"}))
    world.say("Hello?", channel="whatsapp_cloud", user=PHONE)
    world.drain()
    assert (statuses(world), conversation()["owner"]) == (["SENT"], "person")
    assert 23 < db.scalar("select extract(epoch from returns_at - now()) / 3600 from conversation") <= 24


def test_what_a_colleague_wrote_long_ago_takes_nothing_over(door: FrontDoor, world: World) -> None:
    world.say(channel="whatsapp_qr", user=f"{PHONE}@c.us")
    week_ago = 1784232500 - 7 * 86_400
    door.waha(of_waha("OLD", timestamp=week_ago))
    world.drain()
    assert (conversation()["owner"], len(world.messages(role="agent"))) == ("bot", 1)
