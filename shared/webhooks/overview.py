"""How a business's endpoints are doing: what waits, what failed, and each attempt. What the desk shows."""

from __future__ import annotations

from typing import Any

from shared import db
from shared.db import sql
from shared.models import WebhookAttempt, WebhookEvent
from shared.payloads import MAX_ROW_ID

queries = sql.load(__file__)

#: How far is counted: all that failed, and what waits among the newest events. An index of those would slow each delivery.
NEWEST = 10_000
#: Attempts of an endpoint among which the last failure is looked for.
TRIED = 1_000
#: Attempts that one page looks through for those that failed: an endpoint that works has none among millions.
LOOKS = 5_000
#: Rows of a page of attempts.
ROWS = 50

_COLUMNS = (
    WebhookAttempt.id,
    WebhookAttempt.event,
    WebhookAttempt.number,
    WebhookAttempt.trigger,
    WebhookAttempt.started_at,
    WebhookAttempt.ms,
    WebhookAttempt.status,
    WebhookAttempt.answer,
    WebhookAttempt.error,
    WebhookAttempt.next_at,
    WebhookEvent.event.alias("name"),
    WebhookEvent.status.alias("event_status"),
)


def states(customer_id: int, endpoint_id: int | None = None) -> dict[int, dict[str, Any]]:
    """`waiting`, `failed` and `failed_at` by endpoint: of all, or of one.

    Exact to `NEWEST`; `has_older`: what waits is counted among the newest events only.
    """
    with db.transaction():
        db.rows("set local enable_sort = off")  # of an endpoint with more events than others PostgreSQL would read and sort all
        rows = queries["states"].rows(customer_id=customer_id, endpoint_id=endpoint_id, newest=NEWEST + 1, tried=TRIED)
    return {row.pop("id"): {**row, "has_older": row.pop("looked_at") > NEWEST} for row in rows}


def attempts(endpoint_id: int, before: int = MAX_ROW_ID, *, only_failed: bool = False) -> tuple[list[dict[str, Any]], int | None]:
    """A page of an endpoint's attempts, newest first, and the id to go on `before`. Whose it is, is the caller's to know."""
    query = WebhookAttempt.select(*_COLUMNS).join(WebhookEvent).where(_of(endpoint_id, before))
    end = _end_of_looks(endpoint_id, before) if only_failed else None
    if only_failed:
        query = query.where(WebhookAttempt.error.is_null(False), WebhookAttempt.id >= (end or 0))
    rows = db.rows(query.order_by(WebhookAttempt.id.desc()).limit(ROWS + 1))
    return rows[:ROWS], rows[ROWS - 1]["id"] if len(rows) > ROWS else end


def _end_of_looks(endpoint_id: int, before: int) -> int | None:
    """The last attempt that a page looks at; None: it looks at all."""
    ids = WebhookAttempt.select(WebhookAttempt.id).where(_of(endpoint_id, before)).order_by(WebhookAttempt.id.desc())
    row = db.row(ids.offset(LOOKS - 1).limit(1))
    return int(row["id"]) if row else None


def _of(endpoint_id: int, before: int) -> Any:
    return (WebhookAttempt.endpoint_id == endpoint_id) & (WebhookAttempt.id < before)
