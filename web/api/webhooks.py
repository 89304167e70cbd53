"""/api/v1/webhook-endpoints and /webhook-events: where a business hears of events, and a second delivery of one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Response

from shared import db
from shared.models import WebhookEvent
from shared.webhooks import deliveries, endpoints
from web.api.api import api, customer_id, existing, page
from web.api.schemas import PageQuerySchema
from web.api.webhook_schemas import (
    EndpointChangesSchema,
    EndpointPageSchema,
    EndpointSchema,
    EndpointWithSecretSchema,
    EventPageSchema,
    NewEndpointSchema,
    RedeliverySchema,
    TestEventSchema,
)
from web.audited import audited

#: What null means something for, in a change.
_NULLABLE = ("url", "chatbots", "channels", "headers", "rate_limit", "redelivery_schedule")
_WHAT = "webhook endpoint, or chatbot of it"
#: What the audit calls a switch that is false, or true, now.
_SWITCHES = {"active": ("disabled", "enabled"), "paused": ("resumed", "paused")}


@api.get("/webhook-endpoints")
@api.query(PageQuerySchema)
@api.response(200, EndpointPageSchema)
def list_endpoints(query: dict[str, Any]) -> dict[str, Any]:
    """List webhook endpoints"""
    rows = page(endpoints.listed(customer_id()), **query)
    return {**rows, "data": [endpoints.shown(row) for row in rows["data"]]}


@api.post("/webhook-endpoints")
@api.arguments(NewEndpointSchema)
@api.response(201, EndpointWithSecretSchema)
@api.alt_response(409, response="CONFLICT")
def create_endpoint(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Create an endpoint

    The answer has the secret that signs its deliveries; it is shown this once.
    """
    with db.transaction():
        created = endpoints.create(customer_id(), endpoint)
        _audited("created", created)
    return created


@api.get("/webhook-endpoints/<int:endpoint_id>")
@api.response(200, EndpointSchema)
def get_endpoint(endpoint_id: int) -> dict[str, Any]:
    """Get an endpoint"""
    return existing(endpoints.get(customer_id(), endpoint_id), _WHAT)


@api.patch("/webhook-endpoints/<int:endpoint_id>")
@api.arguments(EndpointChangesSchema)
@api.response(200, EndpointWithSecretSchema)
@api.alt_response(409, response="CONFLICT")
def update_endpoint(changes: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Update an endpoint

    With `rotate_secret` the answer has the new secret. What waited while it was paused is delivered once it is not.
    """
    rotates = changes.pop("rotate_secret")
    values = {name: value for name, value in changes.items() if value is not None or name in _NULLABLE}
    with db.transaction():
        changed = existing(endpoints.change(customer_id(), endpoint_id, values, rotates), _WHAT)
        for action, about in _changes(values, rotates):
            _audited(action, changed, **about)
    return changed


def _changes(values: dict[str, Any], rotates: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """What the audit says of a change: a switch and a new secret are rows of their own, as at the desk."""
    if rotates:
        yield "secret_rotated", {}
    for name, words in _SWITCHES.items():
        if name in values:
            yield words[values[name]], {}
    if others := sorted(values.keys() - _SWITCHES.keys()):
        yield "changed", {"changed": ", ".join(others)}


@api.post("/webhook-endpoints/<int:endpoint_id>/test")
@api.arguments(TestEventSchema)
@api.response(202, RedeliverySchema)
@api.alt_response(409, response="CONFLICT")
def test_endpoint(wanted: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Deliver a test event

    An example, with `test` in its data. It is an event like any other: what came of it is in the list of events.
    """
    endpoint = existing(endpoints.get(customer_id(), endpoint_id), "webhook endpoint")
    note = partial(_audited, "tested", endpoint)
    return existing(endpoints.send_test(customer_id(), endpoint_id, wanted["event"], note), "webhook endpoint")


@api.delete("/webhook-endpoints/<int:endpoint_id>")
@api.response(204)
def delete_endpoint(endpoint_id: int) -> Response:
    """Delete an endpoint

    Its events go with it; deliveries that are under way are given up.
    """
    endpoint = existing(endpoints.get(customer_id(), endpoint_id), "webhook endpoint")
    with db.transaction():
        existing(endpoints.delete(customer_id(), endpoint_id), "webhook endpoint")
        _audited("deleted", endpoint)
    return Response(status=204)


def _audited(what: str, endpoint: dict[str, Any], **about: Any) -> None:
    audited(f"webhook.{what}", "webhook", endpoint["id"], name=endpoints.name_of(endpoint), **about)


@api.get("/webhook-events")
@api.query(PageQuerySchema)
@api.response(200, EventPageSchema)
def list_events(query: dict[str, Any]) -> dict[str, Any]:
    """List webhook events"""
    columns = (
        WebhookEvent.id,
        WebhookEvent.endpoint,
        WebhookEvent.event,
        WebhookEvent.status,
        WebhookEvent.attempts,
        WebhookEvent.response_status,
        WebhookEvent.error,
        WebhookEvent.created_at,
        WebhookEvent.delivered_at,
        WebhookEvent.next_attempt_at,
    )
    return page(WebhookEvent.select(*columns).where(WebhookEvent.customer == customer_id()), **query)


@api.post("/webhook-events/<int:event_id>/resend")
@api.response(202, RedeliverySchema)
@api.alt_response(409, response="CONFLICT")
def redeliver_event(event_id: int) -> dict[str, Any]:
    """Redeliver an event

    It goes out under its own id once more, at once, and its redelivery schedule starts over.
    """
    note = partial(audited, "webhook.event_resent", "webhook event", event_id)
    return existing(deliveries.resend(customer_id(), event_id, note), "webhook event")
