"""The 24 hours after a customer's last message, in which WhatsApp takes any text; after them, approved templates only.

We keep when they end (conversation.window_ends_at), so that a text that would be refused is not sent. Meta is the last judge: its
131047 closes a window that seemed open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from shared import db
from shared.db import sql

queries = sql.load(__file__)

#: Approved templates that an error names.
NAMED = 5


def close(message_id: int | None = None, provider_id: str | None = None, chatbot_id: int | None = None) -> None:
    """Meta refused one of our messages for its window."""
    find = {"message_id": message_id, "provider_id": provider_id, "chatbot_id": chatbot_id}
    db.retry_on_outage(partial(queries["close"].rows, **find), db.WEB_RETRY_SECONDS)


def open_by_call(chatbot_id: int, external_user_id: str, at: float | None) -> bool:
    """The customer called. Returns whether there is a conversation of theirs."""
    find = {"chatbot_id": chatbot_id, "external_user_id": external_user_id, "at": at}
    return bool(db.retry_on_outage(partial(queries["open"].rows, **find), db.WEB_RETRY_SECONDS))


def explanation(templates: Sequence[Mapping[str, str]]) -> str:
    """What a business reads of a text that came too late; `templates` are approved ones."""
    names = ", ".join(f"{one['name']} ({one['language']})" for one in templates[:NAMED])
    more = " and others" if len(templates) > NAMED else ""
    instead = f"Send an approved template instead: {names}{more}." if names else "No approved template is known to send instead."
    return f"The customer has not written for 24 hours, so WhatsApp takes no free text. {instead}"
