"""How far a reply got, as its channel reports it: sent, delivered, read, failed. A status only moves forward."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db import sql
from shared.db.prepared import Statement
from shared.db.pruning import delete_in_batches
from shared.privacy import marks

log = logging.getLogger(__name__)
queries = sql.load(__file__)

STATUSES = ("SENT", "DELIVERED", "READ", "FAILED")
#: Statuses of one sweep that are applied late.
PAGE = 1_000
#: Seconds a status for an unknown message is kept: long after any send's answer must have come.
KEEP_PARKED = 3_600
#: Seconds that what could not be placed is kept for inspection: a week.
KEEP_REJECTS = 7 * 86_400

_apply_statement = Statement(queries["apply_statuses"], db.WEB_RETRY_SECONDS)
_apply_status = _apply_statement.batched()


@dataclass(frozen=True, kw_only=True)
class StatusUpdate:
    """A status by our message id or the provider's id.

    `chatbot_id`, where the channel tells whose number it was, keeps one tenant's ids from moving another's messages.
    """

    status: str
    provider_id: str | None = None
    message_id: int | None = None
    error: str | None = None
    error_code: str | None = None
    chatbot_id: int | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, not {self.status!r}")


def apply_delivery_status(status: str, **more: Any) -> str:
    """Applies one status (the members of StatusUpdate); what becomes of it, as of those below. Raises ServiceDown."""
    [outcome] = apply_delivery_statuses([StatusUpdate(status=status, **more)])
    return outcome


def apply_delivery_statuses(updates: Sequence[StatusUpdate]) -> list[str]:
    """Applies statuses, in one statement; each is "applied", "stale" (not forward) or "parked".

    A provider's id that nobody knows yet is kept until the send's answer is stored, or for an hour; but not that of a reply whose
    person was erased. Raises ServiceDown.
    """
    items = [asdict(update) for update in updates]
    # One alone shares its round trip with those that other threads have at the moment.
    rows = [_apply_status(items[0])] if len(items) == 1 else _apply_statement.rows_by_item(items)
    for row in rows:
        enqueue(tickets_of(row["tickets"] if row else []))
    outcomes = ["parked" if row is None else "applied" if row["applied"] else "stale" for row in rows]
    _park([update for update, outcome in zip(updates, outcomes, strict=True) if outcome == "parked"])
    return outcomes


def _park(updates: Sequence[StatusUpdate]) -> None:
    for update in updates:
        if update.provider_id is None:
            log.warning("status_for_unknown_message", extra={"message_id": update.message_id, "status": update.status})
    # A message of ours that is not there was deleted, and never comes.
    items = [
        {**asdict(update), "marks": marks.of_message(update.chatbot_id, update.provider_id) if update.chatbot_id else []}
        for update in updates
        if update.provider_id is not None and update.message_id is None
    ]
    if not items:
        return
    db.retry_on_outage(lambda: queries["park_statuses"].rows(statuses=db.json(items)), db.WEB_RETRY_SECONDS)
    # The send's answer may have been stored between the two looks; then nobody else would come for these.
    apply_parked([item["provider_id"] for item in items])


def apply_parked(provider_ids: Sequence[str]) -> None:
    """Applies what was parked for providers' ids that are known by now."""
    enqueue(tickets_of(queries["apply_parked"].scalar(provider_ids=list(provider_ids))))


def apply_late_statuses() -> None:
    """For the sweep: applies what was parked although its message is known."""
    late = [row["provider_id"] for row in queries["late_parked_statuses"].rows(page=PAGE)]
    if late:
        apply_parked(late)


def prune_inbound() -> dict[str, int]:
    """Forgets parked statuses and rejects that are too old; returns how many of each are gone."""
    return {
        "parked_statuses": delete_in_batches(queries["prune_parked"], age=KEEP_PARKED),
        "inbound_rejects": delete_in_batches(queries["prune_rejects"], age=KEEP_REJECTS),
    }
