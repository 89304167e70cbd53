"""What becomes of the kinds of things that providers report, through the hooks and into the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import db
from shared.db import credentials
from shared.models import TelegramBot
from tests.integration.front_door import FrontDoor

Post = Callable[[FrontDoor, dict[str, Any]], Any]
#: Cases: what is `posted`, one after the other, and what is `kept` of its customer then. PHONE, LID and WHO stand for the
#: customer's names, of each case its own; NOW for the time, NUMBER and SESSION for the account. Of each message "role kind:
#: words", with " answered" behind the kind if the bot answers; at the end "person" if the conversation is a person's.
PAYLOADS = Path(__file__).parent / "payloads"
BOT, SECRET = "123456789", "secret-of-the-hook"


def _telegram(door: FrontDoor, body: dict[str, Any]) -> Any:
    return door.client.post(f"/webhooks/telegram/{BOT}", json=body, headers={"X-Telegram-Bot-Api-Secret-Token": SECRET})


def _cloud(door: FrontDoor, change: dict[str, Any]) -> Any:
    return door.meta({"object": "whatsapp_business_account", "entry": [{"id": "7", "changes": [change]}]})


HOOKS: dict[str, Post] = {
    "cloud": _cloud,
    "waha": FrontDoor.waha,
    "evolution": FrontDoor.evolution,
    "telegram": _telegram,
}


@pytest.fixture
def all_channels(door: FrontDoor) -> FrontDoor:
    values = {"token": credentials.encrypt(f"{BOT}:AAE"), "webhook_secret": credentials.encrypt(SECRET)}
    with db.connection():
        TelegramBot.create(chatbot=door.world.chatbot, bot_id=BOT, username="shop_bot", **values)
    return door


def names_of(number: int) -> dict[str, str]:
    """Of the case's customer, whom no other case has."""
    return {"PHONE": f"55119{number:08d}", "LID": f"88{number:012d}", "WHO": str(70_000_000 + number)}


def filled(door: FrontDoor, body: dict[str, Any], number: int, update: int) -> dict[str, Any]:
    """The body with the case's names and times in it, as numbers where Telegram has numbers."""
    now = str(int(time.time()))
    text = json.dumps({"update_id": number * 10 + update, **body}).replace('"WHO"', names_of(number)["WHO"])
    for name, value in {**names_of(number), "NUMBER": door.number, "SESSION": door.session, '"NOW"': now, "NOW": now}.items():
        text = text.replace(name, value)
    filled_body: dict[str, Any] = json.loads(text)
    return filled_body


def kept_of(number: int) -> tuple[str, ...]:
    """What is kept of a case's customer, as a case has it."""
    own = list(names_of(number).values())
    conversations = db.rows(
        "select id, owner, contact_id from conversation where external_user_id ~ %s order by id", ["|".join(own)]
    )
    lines: list[str] = []
    for conversation in conversations:
        asked = db.scalar(
            "select array_agg(message_id) from job where queue = 'ai-processing' and ordering_key = %s", [str(conversation["id"])]
        )
        messages = db.rows(
            "select id, role, kind, content, data, revoked_at from message where conversation_id = %s order by id",
            [conversation["id"]],
        )
        lines += [_line(message, asked or []) for message in messages]
        lines += [conversation["owner"]] if conversation["owner"] != "bot" else []
    for name, value in names_of(number).items():
        lines = [line.replace(value, name) for line in lines]
    return tuple(lines)


def _line(message: dict[str, Any], asked: list[int]) -> str:
    answered = " answered" if message["id"] in asked else ""
    quoted = message["data"].get("quoted", {})
    about = f" (to {quoted.get('text') or '?'})" if quoted else ""
    about += f" {message['data']['reaction']}" if "reaction" in message["data"] else ""
    about += " deleted" if message["revoked_at"] else ""
    return f"{message['role']} {message['kind']}{answered}: {message['content']}{about}"


@pytest.mark.parametrize("hook", HOOKS)
def test_each_kind_becomes_what_a_shop_expects(all_channels: FrontDoor, hook: str) -> None:
    cases, post = json.loads((PAYLOADS / f"{hook}.json").read_text(encoding="utf-8")), HOOKS[hook]
    db.rows("update whatsapp_qr_session set dialect = 'evolution' where %s = 'evolution'", [hook])
    for number, case in enumerate(cases.values(), start=1):
        for update, body in enumerate(case["posted"]):
            assert post(all_channels, filled(all_channels, body, number, update)).status_code == 200
            for job in all_channels.world.jobs(queue="incoming-messages", state="waiting"):
                all_channels.world.run(job["id"])
    found = {name: kept_of(number) for number, name in enumerate(cases, start=1)}
    rejected = db.rows("select reason, payload from inbound_reject")
    assert rejected == []
    assert found == {name: tuple(case["kept"]) for name, case in cases.items()}
