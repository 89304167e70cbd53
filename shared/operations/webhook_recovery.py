"""Recovers an endpoint: its events of a time are delivered again, as one bulk action (shared/operations/bulk_actions.py).

Each event goes out once, under its own id and behind first deliveries; one that fails again follows the redelivery schedule from
its beginning. What was created, or failed, after the recovery began is not meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import fn

from shared import db
from shared.broker.enqueue import Ticket, tickets_of
from shared.db import sql
from shared.errors import Refused
from shared.models import BulkAction, WebhookEndpoint, WebhookEvent
from shared.operations import bulk_actions

queries = sql.load(__file__)

KIND = "recover"
#: Which events may be recovered: those that did not arrive, or those that did, for a receiver that has lost what it got.
FAILED, DELIVERED = "FAILED", "DELIVERED"
#: Events a second, unless whoever begins says otherwise: 100,000 in ten minutes. They are behind first deliveries, and a receiver
#: that is slower is waited for.
PACE = 200.0
#: Seconds that a count may take: it looks at each event of the time.
PATIENCE = 30.0
#: Events of an endpoint that a step looks at, whether they are meant or not.
PAGE = 5_000
#: Deliveries of an endpoint that may wait behind first ones: a receiver that is slower than the pace is waited for.
MAX_WAITING = 1_000


@dataclass(frozen=True)
class Filter:
    """Which events of an endpoint: created from `since` to `until` (None: until now), with this status."""

    endpoint_id: int
    since: datetime
    until: datetime | None = None
    status: str = FAILED

    def as_json(self) -> dict[str, Any]:
        """As an action keeps it."""
        times = {"since": self.since.isoformat(), "until": self.until and self.until.isoformat()}
        return {"endpoint_id": self.endpoint_id, "status": self.status, **times}


def count(where: Filter) -> int:
    """How many events are meant now."""
    meant = WebhookEvent.select(fn.COUNT(WebhookEvent.id)).where(
        WebhookEvent.endpoint == where.endpoint_id, WebhookEvent.status == where.status, WebhookEvent.created_at >= where.since
    )
    with db.patient(PATIENCE):
        return int(db.scalar(meant.where(WebhookEvent.created_at <= where.until) if where.until else meant))


def begin(where: Filter, total: int, by: str, pace: float = PACE) -> int:
    """Begins a recovery of `total` events, which somebody has counted, for that may take long and must hold no transaction open;
    returns the bulk action's id. Raises Refused.
    """
    with db.transaction():
        # Two at once take turns; new events, which refer to the endpoint, do not wait.
        lock = "select customer_id, active, url from webhook_endpoint where id = %s for no key update"
        endpoint = db.row(lock, [where.endpoint_id])
        if endpoint is None or not endpoint["active"]:
            raise Refused("The endpoint is switched off. Set it active first.")
        if endpoint["url"] is None:
            raise Refused("The endpoint has no URL. Read its events with GET /events.")
        if _is_running(where.endpoint_id):
            raise Refused("The endpoint is being recovered. Wait until that has ended, or stop it.")
        return bulk_actions.begin(KIND, where.as_json(), total, by, pace=pace, customer_id=endpoint["customer_id"])


def _is_running(endpoint_id: int) -> bool:
    running = BulkAction.select(BulkAction.id).where(of_endpoint(endpoint_id), BulkAction.state == "running")
    return db.row(running.limit(1)) is not None


def of_endpoint(endpoint_id: int) -> Any:
    """A condition: the recoveries of an endpoint."""
    return (BulkAction.kind == KIND) & BulkAction.filter.contains({"endpoint_id": endpoint_id})


def step(action: Mapping[str, Any], limit: int) -> tuple[int | None, Mapping[str, int], Sequence[Ticket]]:
    """A step of the action (bulk_actions.Step)."""
    endpoint_id = action["filter"]["endpoint_id"]
    if not db.scalar(WebhookEndpoint.select(WebhookEndpoint.active).where(WebhookEndpoint.id == endpoint_id)):
        return None, {"endpoint_off": max(0, action["total"] - sum(action["counts"].values()))}, []
    waiting = queries["waiting"].scalar(customer_id=action["customer_id"], endpoint_id=endpoint_id, most=MAX_WAITING)
    if waiting >= MAX_WAITING:
        return action["position"], {}, []
    [done] = queries["recover"].rows(**action["filter"], begun=action["until"], after=action["position"], limit=limit, page=PAGE)
    counts = {name: done[name] for name in ("recovered", "changed") if done[name]}
    return done["position"], counts, tickets_of(done["tickets"])
