"""scripts/connect telegram: a bot of @BotFather's becomes a chatbot's, and Telegram is told where its updates go."""

from __future__ import annotations

import argparse
import re
import secrets as random_secrets
from collections.abc import Callable
from typing import Any, TypeVar

from scripts.commands.connect_account import CHATBOT_HELP, in_place_of, read_secret, require_chatbot
from scripts.local.terminal import count
from shared import db
from shared.channels.connecting import connect_account
from shared.channels.telegram import connect as telegram
from shared.db.credentials import encrypt
from shared.errors import OutsideFailure
from shared.models import Chatbot, TelegramBot
from shared.teaching.fields import Refused

_Answer = TypeVar("_Answer")

_ADDRESS_HELP = (
    "where Telegram reaches this front door, like https://chat.shop.example; without one it works on any machine, for "
    "scripts/server asks for its messages"
)


def add_command(commands: Any) -> None:
    """Adds it to the parser of scripts/connect."""
    bot = commands.add_parser("telegram", help="a bot of Telegram's; asks for the token that @BotFather gave")
    bot.add_argument("--chatbot", type=count, help=f"{CHATBOT_HELP}; the only one need not be named")
    bot.add_argument("--address", type=_https, help=_ADDRESS_HELP)
    bot.set_defaults(run=_telegram)


def _https(text: str) -> str:
    if not re.fullmatch(r"https://[^/?#\s]+/?", text):
        raise argparse.ArgumentTypeError(f"must be like https://chat.shop.example, got {text!r}")
    return text.rstrip("/")


def _telegram(arguments: argparse.Namespace) -> int:
    chatbot_id = arguments.chatbot or _only_chatbot()
    require_chatbot(chatbot_id)
    token, secret = read_secret("token of the bot, from @BotFather"), random_secrets.token_urlsafe(24)
    bot = _asked(lambda: telegram.bot_of(token))
    values = {
        "bot_id": bot.bot_id,
        "username": bot.username,
        "token": encrypt(token),
        "webhook_secret": encrypt(secret),
        "polling": not arguments.address,
        "active": True,
    }
    before = connect_account(TelegramBot, chatbot_id, TelegramBot.bot_id, values)
    if arguments.address:
        _asked(lambda: telegram.be_called(token, f"{arguments.address}/webhooks/telegram/{bot.bot_id}", secret))
    else:
        _asked(lambda: telegram.ask_for_updates(token))
    print(f"@{bot.username} is chatbot {chatbot_id}'s{in_place_of('bot', before, bot.bot_id)}: https://t.me/{bot.username}")
    print("Telegram calls this address" if arguments.address else "scripts/server asks Telegram for its messages")
    return 0


def _asked(question: Callable[[], _Answer]) -> _Answer:
    """What Telegram answers. Raises Refused."""
    try:
        return question()
    except (telegram.TelegramRefused, OutsideFailure) as problem:
        raise Refused(str(problem)) from None


def _only_chatbot() -> int:
    """The chatbot, if there is one only. Raises Refused."""
    ids = [row["id"] for row in db.rows(Chatbot.select(Chatbot.id).order_by(Chatbot.id).limit(2))]
    if len(ids) != 1:
        raise Refused(
            "there are several chatbots; say which with --chatbot"
            if ids
            else "there is no chatbot yet; make one: scripts/connect business NAME"
        )
    return int(ids[0])
