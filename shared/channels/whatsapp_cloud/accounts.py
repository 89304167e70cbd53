"""Whose a WhatsApp number is."""

from __future__ import annotations

import time
from functools import partial

from shared import db
from shared.channels.inbound import Account
from shared.config import settings
from shared.models import WhatsappCloudAccount

#: Seconds for which a number's account is remembered: each message would ask for it again.
REMEMBERED = 5.0
_remembered: dict[tuple[str, str], tuple[Account, float]] = {}


def find(phone_number_id: str) -> Account | None:
    """The active account of a number. A number that nobody has is never remembered. Raises ServiceDown."""
    key, now = (settings().database_url, phone_number_id), time.monotonic()
    account, until = _remembered.get(key, (None, 0.0))
    if account is not None and now < until:
        return account
    account = db.retry_on_outage(partial(_load, phone_number_id), db.WEB_RETRY_SECONDS)
    _remembered.pop(key, None)
    if account is not None:
        _remembered[key] = account, now + REMEMBERED
    return account


def _load(phone_number_id: str) -> Account | None:
    table = WhatsappCloudAccount
    with db.connection():
        row = table.get_or_none((table.phone_number_id == phone_number_id) & table.active)
    return Account(row.id, phone_number_id, row.chatbot_id) if row else None  # type: ignore[attr-defined]  # peewee makes it
