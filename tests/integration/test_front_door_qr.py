"""WAHA's and Evolution's webhooks, the health of their sessions, and sends that wait for them."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels.whatsapp_qr.dialects import dialect
from shared.db import credentials
from shared.jobs.sweep import sweep
from tests.integration.front_door import (
    QR_SECRET,
    FrontDoor,
    evolution_event,
    evolution_message,
    waha_event,
    waha_message,
)


def accepted() -> list[dict[str, Any]]:
    """The payloads of accepted messages, oldest first."""
    return [row["payload"] for row in db.rows("select payload from job where queue = 'incoming-messages' order by id")]


def session() -> dict[str, Any]:
    """The world's session."""
    return db.row("select * from whatsapp_qr_session order by id limit 1") or {}


@pytest.fixture
def evolution(door: FrontDoor) -> FrontDoor:
    """The same, but its gateway speaks Evolution."""
    db.rows("update whatsapp_qr_session set dialect = 'evolution'")
    return door


def encoded(part: str) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")


def jwt(secret: str, algorithm: str = "HS256", expires: float = 60) -> str:
    """A token as Evolution makes it with jwt_key."""
    claims = {"exp": int(time.time() + expires), "app": "evolution", "action": "webhook"}
    return signed(json.dumps({"alg": algorithm, "typ": "JWT"}), json.dumps(claims), secret)


def signed(header: str, claims: str, secret: str) -> str:
    """A token of these parts, signed by HS256 whatever they say."""
    head = f"{encoded(header)}.{encoded(claims)}"
    signature = hmac.digest(secret.encode(), head.encode(), "sha256")
    return head + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


def test_waha_message_is_answered_to_the_id_it_came_from(door: FrontDoor, simulator: Simulator) -> None:
    message = waha_message("A1")
    message["payload"]["from"] = "123456789@lid"
    assert door.waha(message).status_code == 200
    assert door.waha(message).status_code == 200
    door.world.drain()
    assert [sent["key"] for sent in simulator.record("waha")] == ["123456789@lid"]
    assert [m["status"] for m in door.world.messages(role="assistant")] == ["SENT"]


@pytest.mark.parametrize(
    "more",
    [
        {"from": "12036304@g.us"},
        {"fromMe": True, "to": "12036304@g.us"},
        {"fromMe": True, "source": "api"},
        {"from": "status@broadcast"},
        {"from": "1@newsletter"},
        {"body": "", "_data": {"type": "e2e_notification"}},
    ],
)
def test_own_messages_groups_and_broadcasts_are_ignored(door: FrontDoor, more: dict[str, Any]) -> None:
    assert door.waha(waha_message("A1", **more)).status_code == 200
    assert not accepted()


def test_waha_media_is_described(door: FrontDoor) -> None:
    door.waha(waha_message("A1", body="", hasMedia=True, media={"mimetype": "image/jpeg"}))
    door.waha(waha_message("A2", body="in red?", hasMedia=True, media={"mimetype": "image/jpeg"}))
    assert [(m["content"], "unsupported" in m["metadata"]) for m in accepted()] == [("[image]", True), ("in red?", False)]


def test_ids_of_the_last_release_lose_their_decoration(door: FrontDoor, root: Path) -> None:
    decorated = ("false_77@lid_A1", "false_49@c.us_A1", "false_49@c.us_A2_in", "A3")
    for identity in decorated:
        door.world.say(channel="whatsapp_qr", user="5511912345678@c.us", external_id=identity)
    door.world.drain()
    db.rows((root / "shared/db/migrations/0035_bare_message_ids.post.sql").read_text(encoding="utf-8"))
    kept = [row["external_id"] for row in door.world.messages(role="user")]
    assert kept == ["A1", "false_49@c.us_A1", "A2", "A3"]
    for identity in ("A1", "A2", "A3"):
        door.waha(waha_message(identity))
    assert len(accepted()) == len(decorated)


def test_one_message_under_two_names_is_one(door: FrontDoor) -> None:
    for chat in ("77001@lid", "5511912345678@c.us"):
        message = waha_message("A1")
        message["payload"] |= {"from": chat, "id": f"false_{chat}_A1"}
        assert door.waha(message).status_code == 200
    assert [payload["external_id"] for payload in accepted()] == ["A1"]


def test_only_what_is_read_of_a_message_must_be_shallow(door: FrontDoor) -> None:
    chain: dict[str, Any] = {"id": "first"}
    for _ in range(200):
        chain = {"quotedMsg": chain, "more": [1]}
    assert door.waha(waha_message("A1", _data=chain)).status_code == 200
    assert [message["content"] for message in accepted()] == ["When do you ship?"]


@pytest.mark.parametrize("secret", ["", "wrong"])
def test_waha_must_be_signed(door: FrontDoor, secret: str) -> None:
    assert door.waha(waha_message("A1"), secret=secret).status_code == 401
    assert door.client.post(f"/webhooks/whatsapp/qr/{door.session}", json={}).status_code == 401
    assert not accepted()
    assert db.scalar("select count(*) from inbound_reject") == 0


def test_a_session_has_a_secret_of_its_own(door: FrontDoor) -> None:
    db.rows("update whatsapp_qr_session set webhook_secret = %s", [credentials.encrypt("its-own")])
    assert door.waha(waha_message("A1")).status_code == 401
    assert door.waha(waha_message("A1"), secret="its-own").status_code == 200


def test_without_any_secret_the_hook_is_closed(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHATSAPP_QR_WEBHOOK_SECRET")
    config.reset()
    assert door.waha(waha_message("A1"), secret="").status_code == 401
    db.rows("update whatsapp_qr_session set dialect = 'evolution'")
    assert door.evolution(evolution_message("E1"), apikey="").status_code == 401
    assert door.evolution(evolution_message("E1"), Authorization="Bearer " + jwt("")).status_code == 401


def test_an_unknown_session_is_kept_for_inspection(door: FrontDoor) -> None:
    assert door.waha(waha_message("A1"), session="nobody").status_code == 200
    assert db.scalar("select subject from inbound_reject") == "nobody"


def test_waha_acks_move_the_reply(door: FrontDoor) -> None:
    door.waha(waha_message("A1"))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    for ack, wanted in ((2, "DELIVERED"), (1, "DELIVERED"), (3, "READ"), (-1, "READ")):
        payload = {"id": reply["external_id"], "from": "5511912345678@c.us", "fromMe": True, "ack": ack, "ackName": "X"}
        assert door.waha(waha_event("message.ack", payload)).status_code == 200
        assert door.world.messages(role="assistant")[0]["status"] == wanted


def test_anothers_session_moves_no_reply_whenever_it_tells(door: FrontDoor, simulator: Simulator) -> None:
    session = f"s{door.world.tenant()[1]}"

    def report_failure(message_id: int) -> None:
        [guessed] = dialect("waha").expected_ids(message_id)
        payload = {"id": f"true_1@c.us_{guessed}", "from": "1@c.us", "fromMe": True, "ack": -1, "ackName": "ERROR"}
        assert door.waha(waha_event("message.ack", payload), session=session).status_code == 200

    report_failure(2)  # before the reply has its id
    door.waha(waha_message("A1"))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    assert (reply["id"], reply["status"]) == (2, "SENT")
    report_failure(2)
    sweep()
    assert door.world.messages(role="assistant")[0]["status"] == "SENT"


@pytest.mark.parametrize("decorated", ["true_5511912345678@c.us_{}", "true_98765@lid_{}", "{}", "true_98765@lid_{}_1@lid"])
def test_a_waha_ack_is_the_replys_whatever_it_calls_the_chat(door: FrontDoor, decorated: str) -> None:
    door.waha(waha_message("A1"))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    assert reply["external_id"].startswith("3EB0")
    for identity, wanted in (("3EB0OTHER", "SENT"), (reply["external_id"], "READ")):
        payload = {"id": decorated.format(identity), "from": "987654321@lid", "fromMe": True, "ack": 3, "ackName": "READ"}
        assert door.waha(waha_event("message.ack", payload)).status_code == 200
        assert door.world.messages(role="assistant")[0]["status"] == wanted


def test_a_waha_ack_by_lid_before_the_sends_answer_is_applied(door: FrontDoor) -> None:
    door.waha(waha_message("A1"))
    while not (jobs := door.world.jobs(queue="whatsapp-qr-send")):
        door.world.drain(rounds=1)
    [own] = dialect("waha").expected_ids(door.world.messages(role="assistant")[0]["id"])
    payload = {"id": f"true_987654321@lid_{own}", "from": "987654321@lid", "fromMe": True, "ack": 2, "ackName": "DEVICE"}
    assert door.waha(waha_event("message.ack", payload)).status_code == 200
    door.world.run(jobs[0]["id"])
    assert door.world.messages(role="assistant")[0]["status"] == "DELIVERED"
    assert db.scalar("select count(*) from parked_status") == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"event": "message"}, {"event": "message", "payload": 7}, {"event": "message.ack", "payload": {}}, {"event": 7}],
)
def test_odd_events_of_waha_are_200(door: FrontDoor, body: dict[str, Any]) -> None:
    assert door.waha(body).status_code == 200
    assert not accepted()


def test_a_session_that_went_down_makes_sends_wait(door: FrontDoor, simulator: Simulator) -> None:
    now = int(time.time() * 1000)
    door.waha(waha_event("session.status", {"name": "s", "status": "SCAN_QR_CODE"}, at=now - 500))
    assert (session()["state"], session()["state_detail"]) == ("disconnected", "SCAN_QR_CODE")
    door.waha(waha_message("A1"))
    door.world.drain()
    [job] = door.world.jobs(queue="whatsapp-qr-send")
    assert (job["state"], job["attempts"], job["waits_for"]) == ("delayed", 0, f"whatsapp_qr {door.world.chatbot}")
    assert not simulator.record("waha")
    door.waha(waha_event("session.status", {"name": "s", "status": "WORKING"}, at=now))
    door.waha(waha_event("session.status", {"name": "s", "status": "STOPPED"}, at=now - 400))  # late news are no news
    assert session()["state"] == "connected"
    [job] = door.world.jobs(queue="whatsapp-qr-send")
    assert job["waits_for"] is None
    door.world.run(job["id"])
    assert [m["status"] for m in door.world.messages(role="assistant")] == ["SENT"]


@pytest.mark.parametrize("headers", [{"apikey": QR_SECRET}, {"Authorization": f"Bearer {QR_SECRET}"}])
def test_evolution_message_is_answered(evolution: FrontDoor, simulator: Simulator, headers: dict[str, str]) -> None:
    for _ in range(2):
        assert evolution.evolution(evolution_message("E1"), **headers).status_code == 200
    evolution.world.drain()
    assert [(sent["key"], sent["path"]) for sent in simulator.record("evolution")] == [
        ("5511912345678@s.whatsapp.net", f"/message/sendText/{evolution.session}")
    ]
    [reply] = evolution.world.messages(role="assistant")
    data = {"keyId": reply["external_id"], "remoteJid": "5511912345678@s.whatsapp.net", "fromMe": True, "status": "READ"}
    evolution.evolution(evolution_event("messages.update", data))
    assert evolution.world.messages(role="assistant")[0]["status"] == "READ"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_evolution_by_jwt(evolution: FrontDoor) -> None:
    def status(token: str) -> int:
        return evolution.evolution(evolution_message("E1"), Authorization=f"Bearer {token}").status_code

    assert status(jwt(QR_SECRET)) == 200
    assert status(jwt("wrong")) == status(jwt(QR_SECRET, "none")) == status(jwt(QR_SECRET, expires=-900)) == 401
    assert status("a.b.c") == status("..") == status("") == status(jwt(QR_SECRET).rpartition(".")[0] + ".") == 401
    endless, deep = encoded('{"exp": 1' + "0" * 400 + "}"), encoded("[" * 5_000 + "]" * 5_000)
    assert status(f"{encoded('{}')}.{endless}.AAAA") == status(f"{deep}.{deep}.AAAA") == 401
    assert status(f"{encoded('[]')}.{encoded('{}')}.AAAA") == status(f"{encoded('7')}.{encoded('{}')}.AAAA") == 401


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 401),  # a token must expire
        ({"exp": None}, 401),
        ({"exp": "tomorrow"}, 401),
        ({"exp": 1}, 401),
        ({"exp": 2**40}, 200),
        ({"exp": str(2**40)}, 200),
        ({"exp": 2**40, "iat": 2**41, "nbf": 2**41, "aud": "us", "iss": 7, "sub": 7, "jti": 7}, 200),  # Evolution's own business
    ],
)
def test_only_its_expiry_is_asked_of_evolutions_jwt(evolution: FrontDoor, claims: dict[str, Any], status: int) -> None:
    token = signed(json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(claims), QR_SECRET)
    assert evolution.evolution(evolution_message("E1"), Authorization=f"Bearer {token}").status_code == status


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_jwts_clock_may_differ_by_a_minute(evolution: FrontDoor) -> None:
    for expires, status in ((-50, 200), (-70, 401)):
        token = jwt(QR_SECRET, expires=expires)
        assert evolution.evolution(evolution_message("E1"), Authorization=f"Bearer {token}").status_code == status


def test_evolution_key_in_the_body_opens_nothing_and_is_not_kept(evolution: FrontDoor) -> None:
    body = {**evolution_message("E1"), "apikey": QR_SECRET}
    assert evolution.evolution(body, **{"Content-Type": "application/json"}).status_code == 401
    assert evolution.evolution(evolution_event("messages.upsert", 7)).status_code == 200
    assert "evo-key-1" not in db.scalar("select payload from inbound_reject")


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"extendedTextMessage": {"text": "Hello"}}, "Hello"),
        ({"ephemeralMessage": {"message": {"extendedTextMessage": {"text": "Hello"}}}}, "Hello"),
        ({"buttonsResponseMessage": {"selectedDisplayText": "Yes"}}, "Yes"),
        ({"listResponseMessage": {"title": "Friday"}}, "Friday"),
        ({"imageMessage": {"caption": "in red?"}}, "in red?"),
        ({"audioMessage": {"seconds": 4}}, "[audio]"),
        ({"locationMessage": {}}, "[location]"),
        ({"reactionMessage": {"text": "x"}}, None),
        ({"protocolMessage": {}}, None),
        ({}, None),
    ],
)
def test_evolution_messages_of_every_kind(evolution: FrontDoor, message: dict[str, Any], content: str | None) -> None:
    evolution.evolution(evolution_message("E1", message))
    assert [m["content"] for m in accepted()] == ([content] if content else [])


@pytest.mark.parametrize(
    "key", [{"remoteJid": "1@g.us"}, {"remoteJid": "1@g.us", "fromMe": True}, {"remoteJid": "status@broadcast"}]
)
def test_evolution_own_messages_and_groups_are_ignored(evolution: FrontDoor, key: dict[str, Any]) -> None:
    evolution.evolution(evolution_message("E1", **key))
    assert not accepted()


def test_evolution_connection_update(evolution: FrontDoor) -> None:
    for state, wanted in (("close", "disconnected"), ("open", "connected"), ("connecting", "disconnected")):
        evolution.evolution(evolution_event("connection.update", {"instance": "t42", "state": state, "statusReason": 200}))
        assert session()["state"] == wanted


def test_evolution_400_is_final_only_for_a_number_that_does_not_exist(evolution: FrontDoor, simulator: Simulator) -> None:
    evolution.evolution(evolution_message("E1", remoteJid="550000404@s.whatsapp.net"))
    evolution.world.drain()
    [job] = evolution.world.jobs(queue="whatsapp-qr-send")
    assert (job["state"], "exists: false" in job["last_error"]) == ("failed", True)
    db.rows("update whatsapp_qr_session set session_name = 'stopped-1'")
    evolution.world.say(channel="whatsapp_qr", user="4912345@s.whatsapp.net")
    evolution.world.drain()
    assert [job["state"] for job in evolution.world.jobs(queue="whatsapp-qr-send")] == ["failed", "delayed"]
