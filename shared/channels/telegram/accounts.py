"""Bots: whose a bot is, and whether a webhook comes from Telegram."""

from __future__ import annotations

import re
from functools import partial

from shared import db
from shared.channels.inbound import Headers, InboundAccount
from shared.db.credentials import constant_time_equal, decrypt
from shared.models import TelegramBot

#: Shows the secret that Telegram was told when the bot was connected. There is no signature.
SECRET = "X-Telegram-Bot-Api-Secret-Token"
#: What BotFather gives: the bot's id, and a secret.
TOKEN = re.compile(r"([0-9]{1,18}):[A-Za-z0-9_-]{20,100}", re.ASCII)

# Written out, for each webhook asks: peewee takes five times as long to put the same text together.
_FIND = "select id, chatbot_id, bot_id, webhook_secret, active from telegram_bot where bot_id = %s"


def find(bot_id: str) -> TelegramBot | None:
    """The row of a bot, active or not. Raises ServiceDown."""
    return db.retry_on_outage(partial(_load, bot_id), db.WEB_RETRY_SECONDS) if bot_id.isascii() and bot_id.isdigit() else None


def _load(bot_id: str) -> TelegramBot | None:
    with db.connection():
        return next(iter(TelegramBot.raw(_FIND, bot_id)), None)


def account_of(bot: TelegramBot | None) -> InboundAccount | None:
    """The account that a bot is, if it is active."""
    if bot is None or not bot.active:
        return None
    return InboundAccount(bot.id, bot.bot_id, bot.chatbot_id)  # type: ignore[attr-defined]  # peewee makes it


def shows_secret(headers: Headers) -> bool:
    """Whether there is anything that could be a secret: else the body needs no reading."""
    return bool(headers.get(SECRET, ""))


def is_authentic(bot: TelegramBot | None, headers: Headers) -> bool:
    """Whether a webhook shows the bot's secret; never for a bot that nobody has."""
    return bot is not None and constant_time_equal(
        headers.get(SECRET, ""), decrypt(bot.webhook_secret, f"the hook of bot {bot.bot_id}")
    )
