"""Events that are read instead of pushed: those of an endpoint without a URL.

Transactions commit in another order than ids are given out, so whoever goes on behind the highest id would miss what commits
late. An event gets its position when somebody first reads it, one reader after the other: who goes on behind a position misses
none. The stages that write events pay nothing for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee import Expression, fn

from shared import db
from shared.db import sql
from shared.models import WebhookEndpoint, WebhookEvent
from shared.webhooks.signing import event_id

queries = sql.load(__file__)

#: Events that get their position in one call: more than a page has, for filters leave some out.
BATCH = 1_000
#: Events that one call looks at: a filter that matches little must not read months. `next` goes on behind them.
SCAN = 5_000


def polled_endpoints(customer_id: int) -> list[int]:
    """The customer's endpoints whose events are read."""
    is_polled = (WebhookEndpoint.customer == customer_id) & WebhookEndpoint.url.is_null()
    return [
        row["id"] for row in db.rows(WebhookEndpoint.select(WebhookEndpoint.id).where(is_polled).order_by(WebhookEndpoint.id))
    ]


def read(customer_id: int, endpoint_id: int, after: int, limit: int, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Events behind the position `after`, in order, as they would be pushed. `next` is for the next call, also if there are none:
    more may be behind the SCAN events that this one looked at.

    `filters`: event, chatbot_id, conversation_id, channel; None: of all.
    """
    is_its = (WebhookEvent.customer == customer_id) & (WebhookEvent.endpoint == endpoint_id)
    is_unread = db.row(WebhookEvent.select(WebhookEvent.id).where(is_its, WebhookEvent.position == 0).limit(1)) is not None
    numbered = len(queries["number_unread"].rows(endpoint_id=endpoint_id, batch=BATCH)) if is_unread else 0
    # Before the page: what is numbered between the two is for the next one.
    [looked_at] = queries["looked_at"].rows(endpoint_id=endpoint_id, after=after, scan=SCAN)
    last = looked_at["last"] or after
    columns = WebhookEvent.id, WebhookEvent.event, WebhookEvent.payload, WebhookEvent.created_at, WebhookEvent.position
    is_wanted = _is_wanted(filters) & WebhookEvent.position.between(after + 1, last)
    page = WebhookEvent.select(*columns).where(is_its, is_wanted).order_by(WebhookEvent.position).limit(limit + 1)
    rows = db.rows(page)
    is_full = len(rows) > limit
    return {
        "data": [_delivered(row) for row in rows[:limit]],
        "next": rows[limit - 1]["position"] if is_full else last,
        "has_more": is_full or numbered == BATCH or looked_at["events"] == SCAN,
    }


def _is_wanted(filters: Mapping[str, Any]) -> Expression:
    is_wanted: Expression = WebhookEvent.position > 0
    for name in ("chatbot_id", "conversation_id", "channel"):
        if filters.get(name) is not None:
            is_wanted &= fn.jsonb_extract_path_text(WebhookEvent.payload, name) == str(filters[name])
    if filters.get("event") is not None:
        is_wanted &= WebhookEvent.event == filters["event"]
    return is_wanted


def _delivered(row: dict[str, Any]) -> dict[str, Any]:
    timestamp = row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": event_id(row["id"]), "type": row["event"], "timestamp": timestamp, "data": row["payload"]}
