"""How far a reply got, as its channel reports it: sent, delivered, read, failed. A status only moves forward."""

from __future__ import annotations

import logging

from shared import db
from shared.db import sql
from shared.db.prepared import Statement
from shared.db.pruning import delete_in_batches

log = logging.getLogger(__name__)
queries = sql.load(__file__)

STATUSES = ("SENT", "DELIVERED", "READ", "FAILED")
#: Statuses of one sweep that are applied late.
PAGE = 1_000
#: Seconds a status for an unknown message is kept: long after any send's answer must have come.
KEEP_PARKED = 3_600
#: Seconds that what could not be placed is kept for inspection: a week.
KEEP_REJECTS = 7 * 86_400

_apply_statuses = Statement(queries["apply_statuses"], db.WEB_RETRY_SECONDS).batched()


def apply_delivery_status(
    status: str,
    *,
    provider_id: str | None = None,
    message_id: int | None = None,
    error: str | None = None,
    chatbot_id: int | None = None,
) -> str:
    """Applies a status by our message id or the provider's id: "applied", "stale" (not forward) or "parked".

    `chatbot_id`, where the channel tells whose number it was, keeps one tenant's ids from moving another's messages.
    A provider's id that nobody knows yet is kept until the send's answer is stored, or for an hour. Raises ServiceDown.
    """
    if status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, not {status!r}")
    update = {"status": status, "provider_id": provider_id, "error": error, "chatbot_id": chatbot_id}
    match = _apply_statuses({**update, "message_id": message_id})
    if match is not None:
        return "applied" if match["applied"] else "stale"
    if provider_id is None:
        log.warning("status_for_unknown_message", extra={"message_id": message_id, "status": status})
        return "parked"
    db.retry_on_outage(lambda: queries["park_status"].rows(**update), db.WEB_RETRY_SECONDS)
    # The send's answer may have been stored between the two looks; then nobody else would come for this one.
    return "applied" if apply_parked(provider_id) else "parked"


def apply_parked(provider_id: str) -> bool:
    """Applies what was parked for a provider's id that is known by now."""
    return bool(queries["apply_parked"].rows(provider_id=provider_id))


def apply_late_statuses() -> None:
    """For the sweep: applies what was parked although its message is known."""
    for row in queries["late_parked_statuses"].rows(page=PAGE):
        apply_parked(row["provider_id"])


def prune_inbound() -> dict[str, int]:
    """Forgets parked statuses and rejects that are too old; returns how many of each are gone."""
    return {
        "parked_statuses": delete_in_batches(queries["prune_parked"], age=KEEP_PARKED),
        "inbound_rejects": delete_in_batches(queries["prune_rejects"], age=KEEP_REJECTS),
    }
