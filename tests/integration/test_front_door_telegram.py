"""Telegram from end to end: the hook, replies with buttons, files, the relay for machines that nobody can call, connecting."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import time
import traceback
from typing import Any

import pytest
import requests

from scripts.commands import connect
from scripts.local.simulator.client import Simulator
from scripts.local.simulator.telegram import FILE
from scripts.local.telegram_relay import Relay
from shared import config, db
from shared.channels.telegram.api import call
from shared.db import credentials
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure
from shared.models import TelegramBot
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_commands import run
from tests.site import serving
from tests.unit import servers

TOKEN, SECRET = "123456789:AAE-very_secret_token_of_a_bot", "secret-of-the-hook"
BOT = TOKEN.partition(":")[0]
_updates = itertools.count(1)


@pytest.fixture
def bot(door: FrontDoor) -> TelegramBot:
    """The world's chatbot is on Telegram, too."""
    values = {"token": credentials.encrypt(TOKEN), "webhook_secret": credentials.encrypt(SECRET)}
    with db.connection():
        return TelegramBot.create(chatbot=door.world.chatbot, bot_id=BOT, username="shop_bot", **values)


def message(text: str = "When do you ship?", number: int = 7, chat: int = 42, **more: Any) -> dict[str, Any]:
    """An update with a text."""
    sender = {"id": chat, "is_bot": False, "first_name": "Ana"}
    body = {"message_id": number, "from": sender, "chat": {"id": chat, "type": "private"}, "date": int(time.time())}
    return {"update_id": next(_updates), "message": {**body, "text": text, **more}}


def post(door: FrontDoor, update: dict[str, Any], secret: str = SECRET) -> Any:
    """Telegram calls the hook."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
    return door.client.post(f"/webhooks/telegram/{BOT}", json=update, headers=headers)


def sent(simulator: Simulator, method: str = "sendMessage") -> list[dict[str, Any]]:
    """The calls of one method."""
    return [row for row in simulator.record("telegram") if row["path"].endswith(f"/{method}")]


@pytest.mark.usefixtures("bot")
def test_a_message_is_answered_once(door: FrontDoor, simulator: Simulator) -> None:
    for _ in range(2):  # Telegram repeats what was not answered in time
        assert post(door, message()).status_code == 200
    door.world.drain()
    [call] = sent(simulator)
    assert (call["key"], "two days" in call["text"]) == ("42", True)
    [reply] = door.world.messages(role="assistant")
    assert (reply["status"], reply["external_id"]) == ("SENT", call["answered_id"])


@pytest.mark.usefixtures("bot")
def test_a_topic_is_answered_in_it_by_the_bot_and_by_a_person(door: FrontDoor, simulator: Simulator) -> None:
    post(door, message("When do you open?", 6))
    door.world.drain()
    post(door, message(number=7, message_thread_id=3, is_topic_message=True))
    door.world.drain()
    agent = Visitor(door.app, person("agent", door.world.customer))
    page = f"/desk/c/{door.world.customer}/conversations/{door.world.messages()[0]['conversation_id']}/messages"
    agent.post(page, kind="message", content="Emma here.")
    door.world.drain()
    assert [call["topic"] for call in sent(simulator)] == [None, 3, 3]
    for said in ("message thread not found", "TOPIC_DELETED", "TOPIC_CLOSED"):
        gone = {"ok": False, "error_code": 400, "description": f"Bad Request: {said}"}
        simulator.faults([{"kind": "telegram", "fault": "status", "status": 400, "body": gone, "match": "message_thread_id"}])
        agent.post(page, kind="message", content=f"The topic is gone: {said}")
        door.world.drain()
        assert {row["status"] for row in door.world.messages(role="assistant")} == {"SENT"}
        assert sent(simulator)[-1]["topic"] is None


@pytest.mark.usefixtures("bot")
def test_a_takeover_keeps_the_reply_from_leaving(door: FrontDoor, simulator: Simulator) -> None:
    post(door, message())
    while not (sends := door.world.jobs(queue="telegram-send")):
        door.world.run(
            db.scalar("select id from job where state = 'waiting' and queue <> 'webhook-delivery' order by id limit 1")
        )
    db.rows("update conversation set owner = 'person', owner_since = clock_timestamp()")
    door.world.run(sends[0]["id"])
    assert not sent(simulator)
    assert [reply["status"] for reply in door.world.messages(role="assistant")] == ["SUPERSEDED"]


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("secret", ["", "wrong", SECRET[:-1]])
def test_the_secret_opens_the_hook(door: FrontDoor, secret: str) -> None:
    assert post(door, message(), secret).status_code == 401
    assert (
        door.client.post(
            "/webhooks/telegram/999", json=message(), headers={"X-Telegram-Bot-Api-Secret-Token": SECRET}
        ).status_code
        == 401
    )
    assert db.scalar("select count(*) from job") == db.scalar("select count(*) from inbound_reject") == 0


def test_what_comes_for_a_bot_that_is_switched_off_is_kept(door: FrontDoor, bot: TelegramBot) -> None:
    with db.connection():
        TelegramBot.update(active=False).where(TelegramBot.id == bot.id).execute()
    assert post(door, message()).status_code == 200
    assert db.scalar("select subject from inbound_reject") == BOT


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize(
    ("chat", "state", "code"), [(420403, "failed", "recipient_refuses"), (420404, "failed", "recipient_unreachable")]
)
def test_who_has_blocked_the_bot_is_not_written_to_again(door: FrontDoor, chat: int, state: str, code: str) -> None:
    post(door, message(chat=chat))
    door.world.drain()
    [job] = door.world.jobs(queue="telegram-send")
    assert job["state"] == state
    door.world.dead_letters()
    [reply] = door.world.messages(role="assistant")
    assert (reply["status"], reply["metadata"]["error_code"]) == ("FAILED", code)


@pytest.mark.usefixtures("bot")
def test_telegrams_pause_is_kept(door: FrontDoor, simulator: Simulator) -> None:
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 33}}
    simulator.faults([{"kind": "telegram", "fault": "status", "status": 429, "body": body}])
    post(door, message())
    door.world.drain()
    [job] = door.world.jobs(queue="telegram-send")
    assert (job["state"], job["attempts"]) == ("delayed", 0)
    assert 25 < db.scalar("select extract(epoch from run_at - clock_timestamp()) from job where id = %s", [job["id"]]) <= 33


@pytest.mark.usefixtures("bot")
def test_a_pressed_button_is_heard_and_read(door: FrontDoor) -> None:
    keyboard = {"inline_keyboard": [[{"text": "When do you ship?", "callback_data": "ship"}]]}
    pressed = {"message_id": 8, "chat": {"id": 42, "type": "private"}, "reply_markup": keyboard}
    query = {"id": "q1", "from": {"id": 42, "first_name": "Ana"}, "message": pressed, "data": "ship"}
    answer = post(door, {"update_id": next(_updates), "callback_query": query})
    assert answer.json == {"method": "answerCallbackQuery", "callback_query_id": "q1"}
    door.world.drain()
    assert [row["content"] for row in door.world.messages(role="user")] == ["When do you ship?"]
    assert [row["status"] for row in door.world.messages(role="assistant")] == ["SENT"]


@pytest.mark.usefixtures("bot")
def test_choices_are_buttons_below_the_last_part(door: FrontDoor, simulator: Simulator) -> None:
    post(door, message())
    door.world.drain()
    choices = [{"id": "a", "title": "Standard"}, {"id": "b", "title": "Express"}]
    conversation = db.row("select id, chatbot_id from conversation") or {}
    db.rows(
        """with reply as (
            insert into message (conversation_id, chatbot_id, channel, role, content, status, data)
            values (%(id)s, %(chatbot_id)s, 'telegram', 'assistant', %(text)s, 'PENDING', %(data)s) returning id
        )
        select job_add_v1(jsonb_build_array(outgoing_job_v1(%(customer)s, reply.id, %(id)s, 'telegram'))) from reply""",
        {**conversation, "customer": door.world.customer, "text": "**Which?** " * 900, "data": json.dumps({"choices": choices})},
    )
    door.world.drain()
    *earlier, last = sent(simulator)[1:]
    assert earlier
    assert [call["callback_data"] for call in earlier] == [""] * len(earlier)
    assert last["callback_data"] == "Standard, Express"
    assert "**" not in last["text"]


def _json(value: Any) -> Any:
    from psycopg2.extras import Json

    return Json(value)


@pytest.mark.usefixtures("bot")
def test_the_relay_asks_and_loses_nothing(door: FrontDoor, simulator: Simulator) -> None:
    for number in (1, 2):
        requests.post(f"{simulator.url}/bot{TOKEN}/__update", json=message(number=number), timeout=60).raise_for_status()
    row = db.row("select bot_id, token, webhook_secret from telegram_bot") or {}
    with serving(door.app) as site:
        relay = Relay(site.url)
        offset = relay.relay(row, 0)
        assert relay.relay(row, 0) == offset  # after a crash, the same once more
    assert [job["payload"]["external_id"] for job in door.world.jobs(queue="incoming-messages")] == ["42:1", "42:2"]
    [first, *_] = requests.post(f"{simulator.url}/bot{TOKEN}/getUpdates", json={"offset": offset}, timeout=60).json()[
        "result"
    ] or [None]
    assert first is None


def test_a_token_is_all_that_connect_asks_for(door: FrontDoor, simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(connect, "telegram", typed=f"{TOKEN}\n") == 0
    assert f"https://t.me/bot{BOT}_bot" in capsys.readouterr().out
    row = db.row("select chatbot_id, bot_id, token, webhook_secret, polling from telegram_bot") or {}
    assert (row["chatbot_id"], row["bot_id"], row["polling"]) == (door.world.chatbot, BOT, True)
    assert decrypt(row["token"], "it") == TOKEN not in str(row)
    assert [call["status"] for call in sent(simulator, "deleteWebhook")] == [200]
    requests.post(f"{simulator.url}/bot{TOKEN}/__update", json=message(), timeout=60)
    with serving(door.app) as site:  # as scripts/server does
        Relay(site.url).relay(row, 0)
    door.world.drain()
    assert [call["key"] for call in sent(simulator)] == ["42"]


def test_telegram_is_told_the_address(door: FrontDoor, simulator: Simulator) -> None:
    assert run(connect, "telegram", "--address", "https://chat.shop.example/", typed=f"{TOKEN}\n") == 0
    [call] = sent(simulator, "setWebhook")
    assert call["key"] == f"https://chat.shop.example/webhooks/telegram/{BOT}"
    secret = decrypt(db.scalar("select webhook_secret from telegram_bot where not polling"), "it")
    assert post(door, message(), secret).status_code == 200
    requests.post(f"{simulator.url}/bot{TOKEN}/deleteWebhook", json={}, timeout=60)


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("token", "said"),
    [("nonsense", "a token must be like 123456789:AAE"), (f"{BOT}:AAE-a_token_that_was_REVOKED", "(HTTP 401: Unauthorized)")],
)
def test_a_wrong_token_is_refused_in_a_sentence(token: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(connect, "telegram", typed=f"{token}\n") == 1
    assert said in capsys.readouterr().err
    assert db.scalar("select count(*) from telegram_bot") == 0


@pytest.mark.usefixtures("bot")
def test_a_voice_note_is_fetched(door: FrontDoor, simulator: Simulator) -> None:
    post(door, message(text="", voice={"file_id": "v1", "mime_type": "audio/ogg", "duration": 3}))
    door.world.drain()
    assert [call["status"] for call in sent(simulator, "getFile")] == [200]
    assert db.row("select kind, state, size from media") == {"kind": "voice", "state": "stored", "size": len(FILE)}


def _answer(connection: socket.socket, answer: bytes) -> None:
    servers.read_request(connection)
    connection.sendall(answer)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("fault", ["refused", "closes", "garbage"])
def test_no_error_names_the_token(fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its text nor its causes, which tracebacks and Sentry tell as well; nor a log at its most talkative."""
    with servers.serving() as start:
        place = start(lambda connection: _answer(connection, b"" if fault == "closes" else b"nonsense\r\n\r\n"))
        monkeypatch.setenv("TELEGRAM_API_URL", "http://127.0.0.1:9" if fault == "refused" else f"http://{place}")
        config.reset()
        with caplog.at_level(logging.DEBUG), pytest.raises(OutsideFailure) as caught:
            call(TOKEN, "sendMessage", {"chat_id": 42, "text": "hi"})
    told = "".join(traceback.format_exception(caught.value))
    assert TOKEN.partition(":")[2] not in told + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
