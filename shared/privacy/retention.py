"""Messages that were kept for long enough are deleted, with all that is theirs: KEEP_MESSAGES_DAYS, or as their business says.

In batches, each of which is a transaction of some milliseconds, so that nobody waits for a lock.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from shared import db
from shared.config import settings
from shared.db import sql
from shared.db.pruning import BATCH, PATIENCE, delete_in_batches
from shared.jobs.independent import run_each
from shared.models import Customer
from shared.teaching import askers

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Days that a business may ask for: providers deliver a message again for a week, and would bring back what was deleted before.
LEAST = {"messages": 7, "media": 1}
MOST = 36_500
#: Seconds for which the API keeps an answer for a second request with the same Idempotency-Key.
KEEP_ANSWERS = 86_400
#: Conversations that one look goes through.
CONVERSATIONS = 1_000


def prune_answers() -> dict[str, int]:
    """Forgets answers of the API that were kept for a day (web/api/idempotency.py); returns how many."""
    return {"kept_answers": delete_in_batches(queries["delete_answers"], age=KEEP_ANSWERS)}


def prune() -> dict[str, int]:
    """One pass over all businesses that do not keep messages for ever; returns how much is gone.

    Raises, when all others had their turn, what failed for a business.
    """
    customers = queries["customers"].rows(days=settings().keep_messages_days)
    counts = run_each(partial(_prune_customer, **customer) for customer in customers)
    return {name: sum(count[name] for count in counts) for name in ("messages", "conversations", "contacts", "events")}


def keep(customer_id: int, messages: str | None = None, media: str | None = None) -> dict[str, str]:
    """Says for how many days a business's messages and files are kept (`default`: as the settings say); returns how they are now.

    Raises ValueError, which says what is right.
    """
    changes: dict[Any, Any] = {}
    for what, days in (("messages", messages), ("media", media)):
        if days is not None:
            changes[f"keep_{what}_days"] = _days(what, days)
    own = Customer.id == customer_id
    if changes:
        db.rows(Customer.update(**changes).where(own))
    row = db.row(Customer.select(Customer.keep_messages_days, Customer.keep_media_days).where(own))
    if row is None:
        raise ValueError(f"There is no customer {customer_id}; scripts/connect business prints the id of a new one.")
    conf = settings()
    defaults = {"messages": conf.keep_messages_days, "media": conf.keep_media_days}
    return {what: _words(row[f"keep_{what}_days"], default) for what, default in defaults.items()}


def _days(what: str, text: str) -> int | None:
    if text == "default":
        return None
    if not text.isascii() or not text.isdigit() or not (text == "0" or LEAST[what] <= int(text) <= MOST):
        raise ValueError(f"--{what} must be a number of days from {LEAST[what]} to {MOST}, 0 or default, got {text!r}.")
    return int(text)


def _words(days: int | None, default: int) -> str:
    number = default if days is None else days
    return ("for ever" if number == 0 else f"for {number} days") + (" (as the settings say)" if days is None else "")


def _prune_customer(customer_id: int, days: int) -> dict[str, int]:
    limit = {"customer_id": customer_id, "days": days}
    deleted = {"messages": 0, "conversations": 0}
    after = 0
    while conversations := queries["old_conversations"].rows(after=after, limit=CONVERSATIONS, **limit):
        after = conversations[-1]["id"]
        ids = [row["id"] for row in conversations if row["has_old_messages"]]
        while ids and (count := _delete_messages(ids, days)):
            deleted["messages"] += count
        deleted["conversations"] += _delete_conversations([row["id"] for row in conversations], days)
    for name in ("contacts", "events"):
        deleted[name] = delete_in_batches(queries[f"delete_{name}"], 0, **limit)
    return deleted


def _delete_conversations(ids: list[int], days: int) -> int:
    with db.patient(PATIENCE), db.transaction():
        parts = queries["merged"].rows(conversation_ids=ids)
        gone = [row["id"] for row in queries["delete_conversations"].rows(conversation_ids=ids, days=days)]
        askers.forget([*gone, *(row["id"] for row in parts if row["conversation_id"] in gone)])
    return len(gone)


def _delete_messages(conversation_ids: list[int], days: int) -> int:
    with db.patient(PATIENCE), db.transaction():
        db.rows("set local synchronous_commit = off")  # what a crash brings back is deleted again
        return len(queries["delete_messages"].rows(conversation_ids=conversation_ids, days=days, batch=BATCH))
