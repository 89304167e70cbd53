"""What connecting an account of any channel takes: the chatbot, its secret, and what it replaces."""

from __future__ import annotations

import getpass
import sys
from typing import Any, TypeAlias

import peewee

from shared import db
from shared.channels import accounts
from shared.models import Chatbot, TelegramBot, WhatsappCloudAccount, WhatsappQrSession
from shared.teaching.fields import Refused

Account: TypeAlias = WhatsappCloudAccount | WhatsappQrSession | TelegramBot

CHATBOT_HELP = "its id: scripts/connect business prints it; a chatbot has one, a second replaces it"


def no_chatbot(chatbot_id: int) -> str:
    """Why a chatbot's id is refused."""
    return f"there is no chatbot {chatbot_id}; use the id that scripts/connect business printed"


def require_chatbot(chatbot_id: int) -> None:
    """Ends the command before it asks for a secret that it could not store. Raises Refused."""
    if db.scalar(Chatbot.select(Chatbot.id).where(Chatbot.id == chatbot_id)) is None:
        raise Refused(no_chatbot(chatbot_id))


def connect_account(model: type[Account], chatbot_id: int, name: peewee.TextField, values: dict[str, Any]) -> str | None:
    """Gives a chatbot its account, in place of the one that it had; returns the name of that."""
    own = model.chatbot == chatbot_id
    account = model.insert(chatbot=chatbot_id, **values).on_conflict(conflict_target=[model.chatbot], update=values)
    with db.transaction():
        before: str | None = db.scalar(model.select(name).where(own))
        db.rows(account)
        accounts.connected(model._meta.table_name, chatbot_id, values)
    return before


def in_place_of(what: str, before: str | None, now: str) -> str:
    """What a chatbot had until now, for whoever connected the wrong chatbot."""
    return "" if before in (None, now) else f", in place of {what} {before}"


def read_secret(what: str, may_be_empty: bool = False) -> str:
    """Typed unseen, or piped in. Ctrl-D and Ctrl-C at the prompt end the command."""
    try:
        secret = (getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"\nconnect: {what}: nothing was given, so nothing was connected")
    if not secret and not may_be_empty:
        sys.exit(f"connect: {what}: nothing was given; type it, or pipe it into standard input")
    return secret
