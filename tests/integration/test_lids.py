"""A contact that is known only by a @lid is looked up at its WAHA gateway, beside all messages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared import config, db
from shared.channels.inbound import InboundAccount, SessionState
from shared.channels.whatsapp_qr import lids, waha
from shared.channels.whatsapp_qr.session import report
from shared.db import credentials
from shared.models import WhatsappQrSession
from shared.privacy import erasure
from tests.builders import World
from tests.integration.test_contacts import PHONE, conversations, identities, say, sent_to

LID = f"900{PHONE}@lid"  # the simulated gateway knows whose it is
STRANGER = "77123@lid"  # and not whose this is


def asked(world: World) -> list[str]:
    """The @lids that the gateway was asked for."""
    return [request["key"] for request in world.simulator.record("waha") if "/lids/" in request["path"]]


def turns() -> tuple[int, float | None]:
    """How often LID had its turn, and seconds until the next."""
    [row] = db.rows("select lookups, extract(epoch from lookup_at - now()) as wait from contact_identity where name = %s", [LID])
    return row["lookups"], row["wait"] if row["wait"] is None else float(row["wait"])


def pass_time() -> None:
    """Until the next turn of all."""
    db.rows("update contact_identity set lookup_at = now() where lookup_at is not null")


def configure(world: World, **values: Any) -> None:
    """Changes the session of the chatbot."""
    WhatsappQrSession.update(**values).where(WhatsappQrSession.chatbot == world.chatbot).execute()


@pytest.mark.parametrize("is_known", [False, True], ids=["new number", "known number"])
def test_a_number_is_learnt(world: World, is_known: bool) -> None:
    if is_known:
        say(world, "Do you ship to Spain?", "whatsapp_qr", f"{PHONE}@c.us")
    say(world, "My order is 4711", "whatsapp_qr", LID)
    for name in ("77:1@lid", "widget@lid"):
        say(world, "Hello", "widget", name)  # names of another family
    assert lids.look_up() == 1
    assert asked(world) == [LID]
    [conversation] = conversations(channel="whatsapp_qr")
    assert {name: identities()[name] for name in (PHONE, LID)} == dict.fromkeys([PHONE, LID], conversation["contact_id"])
    say(world, "And when does it come?", "whatsapp_qr", f"{PHONE}@c.us")
    say(world, "Hello?", "whatsapp_qr", LID)
    assert len(conversations(channel="whatsapp_qr")) == 1
    assert sent_to(world, "whatsapp_qr")[-3:] == [LID, f"{PHONE}@c.us", LID], "replies go where it was written from"
    pass_time()
    assert (lids.look_up(), turns()) == (0, (2, None))
    pass_time()
    assert (lids.look_up(), turns()) == (0, (2, None))
    assert asked(world) == [LID], "what is known is not asked for"


#: What the gateway does, and whether that is an answer: then it is asked for the second @lid of the run, and a turn is over.
FAILURES: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "null": ({"fault": "status", "status": 200, "body": {"lid": LID, "pn": None}}, True),
    "nothing": ({"fault": "status", "status": 200, "body": ""}, True),
    "another @lid": ({"fault": "status", "status": 200, "body": {"lid": LID, "pn": LID}}, True),
    "a group": ({"fault": "status", "status": 200, "body": {"pn": "120363@g.us"}}, True),
    "no text": ({"fault": "status", "status": 200, "body": [{"pn": 4915112345}]}, True),
    "404": ({"fault": "status", "status": 404, "body": {"message": "Session not found", "statusCode": 404}}, False),
    "401": ({"fault": "status", "status": 401}, False),
    "422": ({"fault": "offline"}, False),
    "500": ({"fault": "status", "status": 500}, False),
    "redirect": ({"fault": "redirect"}, False),
    "hangs": ({"fault": "timeout", "ms": 60_000}, False),
    "ends": ({"fault": "reset_before"}, False),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_gateway_that_tells_nothing_is_asked_again_later(world: World, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "hangs":
        monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "3")
        config.reset()
    rule, answers = FAILURES[case]
    for name in (LID, STRANGER):
        say(world, "Hello", "whatsapp_qr", name)
    world.simulator.faults([{"kind": "waha", "match": "/lids/", **(rule or {})}])
    assert lids.look_up() == 0
    requests = [request["path"] for request in world.simulator.record("waha") if "/lids/" in request["path"]]
    assert len(requests) == 1 + answers
    assert lids.look_up() == 0, "not before a minute is over"
    assert turns()[0] == answers
    assert turns()[1] == pytest.approx(60, abs=30)
    world.simulator.clear_faults()
    monkeypatch.delenv("HTTP_TIMEOUT_SECONDS", raising=False)
    config.reset()
    pass_time()
    assert lids.look_up() == 1
    assert identities().keys() == {PHONE, LID, STRANGER}


def test_a_gateway_that_fails_takes_no_turns(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", LID)
    world.simulator.faults([{"kind": "waha", "match": "/lids/", "fault": "status", "status": 500}])
    for _ in range(len(lids.PAUSES) + 5):
        assert lids.look_up() == 0
        pass_time()
    world.simulator.clear_faults()
    assert lids.look_up() == 1


def test_a_session_that_does_not_answer_does_not_stop_the_others(world: World) -> None:
    _, other = world.tenant()
    for user, chatbot in ((STRANGER, world.chatbot), ("77124@lid", world.chatbot), (LID, other)):
        say(world, "Hello", "whatsapp_qr", user, chatbot_id=chatbot)
    with db.connection():
        configure(world, api_key=credentials.encrypt("key of the session"))
    world.simulator.faults([{"kind": "waha", "fault": "revoked", "match": "/lids/", "token": "key of the session"}])
    assert lids.look_up() == 1
    assert len(asked(world)) == 2, "the first of one session, and that of the other"


def hear(world: World, word: str) -> None:
    """What the gateway reports of the session."""
    [row] = db.rows("select id, session_name from whatsapp_qr_session where chatbot_id = %s", [world.chatbot])
    report(InboundAccount(row["id"], row["session_name"], world.chatbot), SessionState(connected=word == "WORKING", detail=word))


def test_what_was_given_up_has_a_turn_when_the_session_is_connected_again(world: World) -> None:
    for name in (STRANGER, LID):
        say(world, "Hello", "whatsapp_qr", name)
    lids.look_up()
    hear(world, "WORKING")
    db.rows("update contact_identity set lookups = %s, lookup_at = null where name like '%%@lid'", [len(lids.PAUSES) + 1])
    before = asked(world)
    for times in (0, 1, 2):
        for word in ("WORKING", "WORKING"):  # however often it is said
            hear(world, word)
            lids.look_up()
            pass_time()
            assert asked(world) == [*before, *[STRANGER] * times], "and not for the one that is known"
        hear(world, "SCAN_QR_CODE")


@pytest.mark.parametrize("gone", ["deleted", "inactive", "logged out", "another gateway's"])
def test_only_sessions_that_may_answer_are_asked(world: World, gone: str) -> None:
    say(world, "Hello", "whatsapp_qr", LID)
    changes: dict[str, dict[str, Any]] = {
        "inactive": {"active": False},
        "logged out": {"state": "disconnected"},
        "another gateway's": {"dialect": "evolution"},
    }
    with db.connection():
        if gone == "deleted":
            WhatsappQrSession.delete().where(WhatsappQrSession.chatbot == world.chatbot).execute()
        else:
            configure(world, **changes[gone])
    assert (lids.look_up(), asked(world), turns()[0]) == (0, [], 0)
    with db.connection():  # as soon as there is one again
        WhatsappQrSession.delete().where(WhatsappQrSession.chatbot == world.chatbot).execute()
        WhatsappQrSession.create(chatbot=world.chatbot, session_name="another")
    assert (lids.look_up(), asked(world)) == (1, [LID])


def test_a_run_is_bounded_and_oldest_turns_come_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lids, "BATCH", 2)
    monkeypatch.setattr(lids, "MOST", 4)
    names = [f"77{number}@lid" for number in range(5)]
    for name in names:
        world.say(channel="whatsapp_qr", user=name)
    world.drain()
    lids.look_up()
    assert len(set(asked(world))) == len(asked(world)) == 4
    lids.look_up()
    assert sorted(asked(world)) == names
    monkeypatch.setattr(lids, "SECONDS", 0.0)
    pass_time()
    lids.look_up()
    assert len(asked(world)) == 5


def test_processes_that_look_at_the_same_time_ask_once(world: World) -> None:
    names = [f"77{number}@lid" for number in range(30)]
    for name in names:
        world.say(channel="whatsapp_qr", user=name)
    world.drain()
    with ThreadPoolExecutor(4) as pool:
        for run in [pool.submit(lids.look_up) for _ in range(4)]:
            assert run.result(60) == 0
    lids.look_up()  # what was in another's hands when all had looked
    assert sorted(asked(world)) == sorted(names)


def test_the_sessions_own_key_is_shown(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", LID)
    with db.connection():
        configure(world, api_key=credentials.encrypt("key of the session"))
    world.simulator.faults([{"kind": "waha", "fault": "revoked", "match": "/lids/", "token": "key of the session", "times": 1}])
    assert (lids.look_up(), world.simulator.record("waha")[-1]["status"]) == (0, 401)


def test_a_key_that_nobody_can_open_stops_only_its_own_session(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", LID)
    with db.connection():
        configure(world, api_key="v1:nobody can open this")
    _, other = world.tenant()
    say(world, "Hello", "whatsapp_qr", LID, chatbot_id=other)
    assert lids.look_up() == 1
    assert len(asked(world)) == 1


def test_whoever_was_erased_meanwhile_stays_erased(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    say(world, "Hello", "whatsapp_qr", LID)
    [contact] = db.rows("select id from contact")
    ask = waha.phone_behind

    def erase_first(*asked: str) -> str:
        erasure.erase(world.customer, contact["id"])
        return ask(*asked)

    monkeypatch.setattr(waha, "phone_behind", erase_first)
    lids.look_up()
    assert db.scalar("select count(*) from contact_identity") == db.scalar("select count(*) from contact") == 0
