"""scripts/connect telegram: a bot of @BotFather's becomes a chatbot's, and Telegram is told where its updates go."""

from __future__ import annotations

import argparse
import re
from typing import Any

from scripts.commands.audited import noting_channel
from scripts.commands.chatbots import CHATBOT_HELP, only_chatbot, require_chatbot
from scripts.commands.connect_account import in_place_of, read_secret
from scripts.local.terminal import count
from shared.channels.checks import ProviderRefused
from shared.channels.connecting import connect_telegram
from shared.errors import OutsideFailure, Refused

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
    chatbot_id = arguments.chatbot or only_chatbot()
    note = noting_channel(chatbot_id, require_chatbot(chatbot_id), "telegram")
    token = read_secret("token of the bot, from @BotFather")
    try:
        bot, before = connect_telegram(chatbot_id, token, arguments.address or "", note)
    except (ProviderRefused, OutsideFailure) as problem:
        raise Refused(str(problem)) from None
    print(f"@{bot.username} is chatbot {chatbot_id}'s{in_place_of('bot', before, bot.bot_id)}: https://t.me/{bot.username}")
    print("Telegram calls this address" if arguments.address else "scripts/server asks Telegram for its messages")
    return 0
