"""/api/v1/events: events that are read instead of pushed."""

from __future__ import annotations

from typing import Any

from werkzeug.exceptions import Conflict

from shared.webhooks import polling
from web.api.api import api, customer_id, existing
from web.api.webhook_schemas import EventsQuerySchema, ReadEventsSchema


@api.get("/events")
@api.query(EventsQuerySchema)
@api.response(200, ReadEventsSchema)
@api.alt_response(409, response="CONFLICT")
def read_events(query: dict[str, Any]) -> dict[str, Any]:
    """Read events

    Oldest first, of an endpoint without a URL. Give `next` as `after` of the next call, and no event is missed or seen twice.
    """
    endpoint = _endpoint(query.pop("endpoint_id", None))
    return polling.read(customer_id(), endpoint, query.pop("after"), query.pop("limit"), query)


def _endpoint(wanted: int | None) -> int:
    known = polling.polled_endpoints(customer_id())
    if wanted is not None:
        return existing(wanted if wanted in known else None, "webhook endpoint without a URL")
    if len(known) == 1:
        return known[0]
    if known:
        raise Conflict(f"You have {len(known)} endpoints without a URL. Say which one: ?endpoint_id={known[0]}.")
    raise Conflict('No events are kept to be read. POST {"url": null} to /api/v1/webhook-endpoints first: they are from then on.')
