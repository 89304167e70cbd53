"""Whose a WhatsApp number is."""

from __future__ import annotations

from functools import partial

from shared import db
from shared.channels.inbound import Account

# Asked for each change of a webhook, and never remembered: a number that was moved or switched off is so at once. Written out,
# because peewee takes five times as long to put the same text together.
_FIND = "select id, chatbot_id from whatsapp_cloud_account where phone_number_id = %s and active"


def find(phone_number_id: str) -> Account | None:
    """The active account of a number. Raises ServiceDown."""
    if not (phone_number_id.isascii() and phone_number_id.isdigit()):  # nobody's, and perhaps no text of PostgreSQL's
        return None
    row = db.retry_on_outage(partial(db.row, _FIND, [phone_number_id]), db.WEB_RETRY_SECONDS)
    return Account(row["id"], phone_number_id, row["chatbot_id"]) if row else None
