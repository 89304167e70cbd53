"""What colleagues change and delete on the phone: their own messages, and what the bot wrote there."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared import db
from shared.channels import ownership
from tests.builders import World
from tests.integration.front_door import FrontDoor, evolution_event, waha_event
from tests.integration.test_colleagues import (
    PHONE,
    WAYS,
    customer_name,
    field,
    of_meta,
    of_waha,
    sent_reply,
    with_evolution,
    write_by,
)
from tests.integration.test_inbound_kinds import told
from tests.integration.test_ledger_races import another_session
from tests.integration.test_who_may_answer import conversation


def change_by(door: FrontDoor, way: str, identity: str, text: str | None) -> None:
    """What a colleague does on the phone to a message comes in: a new text, or none."""
    if way == "cloud":
        new = {"type": "text", "text": {"body": text}}
        change = {"original_message_id": identity, **({"message": new} if text else {})}
        kind = "edit" if text else "revoke"
        raw = {**of_meta(f"OF-{identity}-{text}"), "type": kind, kind: change}
        answer = door.meta(field(door, "smb_message_echoes", message_echoes=[raw]))
    elif way == "waha":
        event = of_waha(f"OF{text}", text or "", "message.edited", editedMessageId=identity)
        gone = {"after": event["payload"], "before": None, "revokedMessageId": identity}
        answer = door.waha(event if text else waha_event("message.revoked", gone))
    else:
        answer = door.evolution(of_evolution(identity, text))
    assert answer.status_code == 200


def of_evolution(identity: str, text: str | None) -> dict[str, Any]:
    """Its event names the message alone."""
    with_evolution()
    key = {"remoteJid": f"{PHONE}@s.whatsapp.net", "fromMe": True, "id": identity}
    if text is None:
        return evolution_event("messages.delete", key)
    at = str(int(time.time() * 1000))
    return evolution_event(
        "messages.edited", {"key": key, "type": 14, "editedMessage": {"conversation": text}, "timestampMs": at}
    )


def agent(world: World) -> tuple[str, bool, bool]:
    [row] = world.messages(role="agent")
    return row["content"], row["edited_at"] is not None, row["revoked_at"] is not None


def read_by_the_model(world: World, way: str) -> str:
    """What the model is told when the customer writes now."""
    world.say("And shipping?", channel=WAYS[way], user=customer_name(way))
    read = told(world)
    db.rows("delete from job where closed_at is null")  # nobody answers it
    return read


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_saved", [True, False])
def test_what_a_colleague_corrects_or_deletes_is_read_so(door: FrontDoor, world: World, way: str, is_saved: bool) -> None:
    write_by(door, way, "ECHO1", "It costs 10 euros.")
    if is_saved:
        world.drain()
    for _ in range(2):  # however often it is delivered
        change_by(door, way, "ECHO1", "It costs 12 euros.")
    world.drain()
    assert agent(world) == ("It costs 12 euros.", True, False)
    ownership.assign(conversation()["id"], "bot", "api")
    read = read_by_the_model(world, way)
    assert ("12 euros" in read, "10 euros" in read) == (True, False)
    change_by(door, way, "ECHO1", None)
    assert agent(world)[2]
    change_by(door, way, "ECHO1", "It costs 14 euros.")
    assert agent(world)[0] == "It costs 12 euros.", "what was deleted is changed no more"
    assert "12 euros" not in read_by_the_model(world, way)


@pytest.mark.parametrize("way", ["waha", "evolution"])
def test_a_reply_of_the_bots_may_be_changed_on_the_phone(door: FrontDoor, world: World, way: str) -> None:
    reply = sent_reply(world, customer_name(way))
    change_by(door, way, reply["external_id"], "We ship tomorrow.")
    [changed] = world.messages(role="assistant")
    assert (changed["content"], changed["status"]) == ("We ship tomorrow.", "SENT")
    change_by(door, way, reply["external_id"], None)
    [deleted] = world.messages(role="assistant")
    assert deleted["revoked_at"] is not None
    assert ("tomorrow" in read_by_the_model(world, way), conversation()["owner"]) == (False, "bot")


def test_a_part_of_a_long_reply_is_not_the_reply(door: FrontDoor, world: World) -> None:
    reply = sent_reply(world, customer_name("waha"))
    db.rows("""update message set metadata = metadata || '{"parts_sent": 1}' where id = %s""", [reply["id"]])
    change_by(door, "waha", reply["external_id"], "Only this?")
    assert world.messages(role="assistant")[0]["content"] == reply["content"]


@pytest.mark.parametrize("way", WAYS)
def test_nobody_changes_what_the_other_side_wrote(door: FrontDoor, world: World, way: str) -> None:
    world.say("When do you ship?", channel=WAYS[way], user=customer_name(way))
    world.drain()
    [question] = world.messages(role="user")
    change_by(door, "cloud" if way == "cloud" else "waha", question["external_id"], "Never mind.")
    assert world.messages(role="user")[0]["content"] == "When do you ship?"
    assert len(world.messages()) == 2, "and what is unknown becomes no message"


def test_a_change_waits_for_nobody_at_work_on_the_message_and_is_done_in_the_end(door: FrontDoor, world: World) -> None:
    write_by(door, "waha", "ECHO1", "It costs 10 euros.")
    world.drain()
    call = "select own_message_change_v2(%s, 'whatsapp_qr', '{}', 'ECHO1', 'It costs 12 euros.', null, '{}')"
    with another_session() as other:
        other.execute("select from message where role = 'agent' for update")
        assert db.scalar(call, [world.chatbot]) == "again"
    assert db.scalar(call, [world.chatbot]) == "changed"
