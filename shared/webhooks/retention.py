"""Forgets webhook events and attempts that are old (KEEP_WEBHOOK_EVENTS_DAYS, KEEP_WEBHOOK_ATTEMPTS_DAYS)."""

from __future__ import annotations

from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches

queries = sql.load(__file__)


def prune() -> dict[str, int]:
    """One pass; returns how many are gone. An event's attempts go with it."""
    conf = settings()
    return {
        "webhook_attempts": delete_in_batches(queries["prune_attempts"], 0, days=conf.keep_webhook_attempts_days),
        "webhook_events": delete_in_batches(queries["prune_events"], 0, days=conf.keep_webhook_events_days),
    }
