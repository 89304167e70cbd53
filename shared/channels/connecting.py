"""How a chatbot gets its account on a channel, in place of the one that it had: for the command and for the desk."""

from __future__ import annotations

import re
import secrets
from typing import Any, TypeAlias

import peewee
import psycopg2.errors

from shared import db
from shared.channels import accounts
from shared.db.credentials import encrypt
from shared.errors import InvalidPayload
from shared.models import TelegramBot, WhatsappCloudAccount, WhatsappQrSession

Account: TypeAlias = WhatsappCloudAccount | WhatsappQrSession | TelegramBot


def connect_account(model: type[Account], chatbot_id: int, name: peewee.TextField, values: dict[str, Any]) -> str | None:
    """Gives a chatbot its account, in place of the one that it had; returns the name of that."""
    own = model.chatbot == chatbot_id
    account = model.insert(chatbot=chatbot_id, **values).on_conflict(conflict_target=[model.chatbot], update=values)
    with db.transaction():
        before: str | None = db.scalar(model.select(name).where(own))
        db.rows(account)
        accounts.connected(model._meta.table_name, chatbot_id, values)
    return before


def connect_cloud(chatbot_id: int, phone_number_id: str, token: str) -> str | None:
    """A number of Meta's Cloud API. Raises InvalidPayload; returns the number that it replaces."""
    _must(bool(re.fullmatch(r"[0-9]{1,40}", phone_number_id)), "phone_number_id", "must be Meta's id of the number, digits only")
    _must(bool(token), "secret", "must be given")
    values = {"phone_number_id": phone_number_id, "access_token": encrypt(token), "active": True, "waba_id": None}
    return _unless_taken(WhatsappCloudAccount, chatbot_id, WhatsappCloudAccount.phone_number_id, values, "phone_number_id")


def connect_qr(chatbot_id: int, session: str, dialect: str, key: str) -> str:
    """A session of a QR gateway. Raises InvalidPayload; returns the secret of its hook, which is shown once."""
    is_name = bool(re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", session))
    _must(is_name, "session", "must have letters, digits, and the characters _ . - only")
    _must(dialect in ("waha", "evolution"), "dialect", "must be one of waha, evolution")
    secret = secrets.token_urlsafe(24)
    values = {
        "session_name": session,
        "dialect": dialect,
        "api_key": encrypt(key) if key else None,
        "webhook_secret": encrypt(secret),
        "active": True,
        "state": "unknown",
    }
    _unless_taken(WhatsappQrSession, chatbot_id, WhatsappQrSession.session_name, values, "session")
    return secret


def _must(is_right: bool, field: str, problem: str) -> None:
    if not is_right:
        raise InvalidPayload("channel", {field: problem})


def _unless_taken(
    model: type[Account], chatbot_id: int, name: peewee.TextField, values: dict[str, Any], field: str
) -> str | None:
    try:
        return connect_account(model, chatbot_id, name, values)
    except peewee.IntegrityError as problem:
        if isinstance(getattr(problem, "orig", None), psycopg2.errors.UniqueViolation):
            raise InvalidPayload("channel", {field: "is another chatbot's; connect another one there first"}) from None
        raise
