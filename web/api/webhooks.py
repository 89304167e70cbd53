"""/api/v1/webhook-endpoints and /webhook-events: where a business hears of events, and a second delivery of one."""

from __future__ import annotations

from typing import Any

from flask import Response
from peewee import Expression, ModelSelect, fn
from werkzeug.exceptions import Conflict

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db.credentials import encrypt
from shared.models import Customer, WebhookEndpoint, WebhookEvent
from shared.queue_service import delivery_job_tickets
from shared.webhooks import signing
from shared.webhooks.triggers import Trigger
from web.api.api import api, customer_id, page, row_id, row_or_404
from web.api.schemas import (
    EndpointChangesSchema,
    EndpointPageSchema,
    EndpointSchema,
    EndpointWithSecretSchema,
    EventPageSchema,
    NewEndpointSchema,
    PageQuerySchema,
    RedeliverySchema,
)

#: Endpoints of a customer. Each message is told to all of them, so they multiply its events. Those that exist already stay.
MAX_ENDPOINTS = 20
#: Never the secret.
_ENDPOINT = (
    WebhookEndpoint.id,
    WebhookEndpoint.url,
    WebhookEndpoint.events,
    WebhookEndpoint.active,
    WebhookEndpoint.redelivery_schedule,
    WebhookEndpoint.created_at,
)


@api.get("/webhook-endpoints")
@api.query(PageQuerySchema)
@api.response(200, EndpointPageSchema)
def list_endpoints(query: dict[str, Any]) -> dict[str, Any]:
    """List webhook endpoints"""
    return page(WebhookEndpoint.select(*_ENDPOINT).where(WebhookEndpoint.customer == customer_id()), **query)


@api.post("/webhook-endpoints")
@api.arguments(NewEndpointSchema)
@api.response(201, EndpointWithSecretSchema)
@api.alt_response(409, response="CONFLICT")
def create_endpoint(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Create an endpoint

    The answer has the secret that signs its deliveries; it is shown this once.
    """
    secret = signing.new_secret()
    new = WebhookEndpoint.insert(customer=customer_id(), secret=encrypt(secret), **endpoint)
    with db.transaction():
        db.row(Customer.select(Customer.id).where(Customer.id == customer_id()).for_update())  # two at once take turns
        count = int(
            db.scalar(WebhookEndpoint.select(fn.COUNT(WebhookEndpoint.id)).where(WebhookEndpoint.customer == customer_id()))
        )
        if count >= MAX_ENDPOINTS:
            raise Conflict(f"You have {count} endpoints, and {MAX_ENDPOINTS} are allowed. Delete one that you no longer need.")
        return {**db.rows(new.returning(*_ENDPOINT))[0], "secret": secret}


@api.get("/webhook-endpoints/<int:endpoint_id>")
@api.response(200, EndpointSchema)
def get_endpoint(endpoint_id: int) -> dict[str, Any]:
    """Get an endpoint"""
    return row_or_404(_endpoint(endpoint_id), "webhook endpoint")


@api.patch("/webhook-endpoints/<int:endpoint_id>")
@api.arguments(EndpointChangesSchema)
@api.response(200, EndpointWithSecretSchema)
def update_endpoint(changes: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """Update an endpoint

    With `rotate_secret` the answer has the new secret.
    """
    secret = signing.new_secret() if changes.pop("rotate_secret") else None
    values = {name: value for name, value in changes.items() if value is not None or name == "redelivery_schedule"}
    if secret:
        values["secret"] = encrypt(secret)
    change = WebhookEndpoint.update(**values).where(_is_own(endpoint_id)).returning(*_ENDPOINT)
    endpoint = row_or_404(change if values else _endpoint(endpoint_id), "webhook endpoint")
    return {**endpoint, "secret": secret} if secret else endpoint


@api.delete("/webhook-endpoints/<int:endpoint_id>")
@api.response(204)
def delete_endpoint(endpoint_id: int) -> Response:
    """Delete an endpoint

    Its events go with it; deliveries that are under way are given up.
    """
    row_or_404(WebhookEndpoint.delete().where(_is_own(endpoint_id)).returning(WebhookEndpoint.id), "webhook endpoint")
    return Response(status=204)


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

    It goes out under its own id once more, at once, and its redelivery schedule begins anew.
    """
    own = (WebhookEvent.customer == customer_id()) & (WebhookEvent.id == row_id(event_id))
    event = row_or_404(WebhookEvent.select(WebhookEndpoint.active).join(WebhookEndpoint).where(own), "webhook event")
    if not event["active"]:
        raise Conflict("The event's endpoint is switched off. Set it active first.")
    # Not while it is under way: the guard and the new job are one statement.
    redelivery = (
        WebhookEvent.update(
            status="PENDING", delivered_at=None, error=None, response_status=None, next_attempt_at=None, redeliveries=0
        )
        .where(own, WebhookEvent.status != "PENDING")
        .returning(WebhookEvent.id, WebhookEvent.status, delivery_job_tickets(Trigger.MANUAL))
    )
    row = db.row(redelivery)
    if row is None:
        raise Conflict("The event is being delivered. Wait until its status is DELIVERED or FAILED.")
    enqueue(tickets_of(row.pop("tickets")))
    return row


def _endpoint(endpoint_id: int) -> ModelSelect[WebhookEndpoint]:
    return WebhookEndpoint.select(*_ENDPOINT).where(_is_own(endpoint_id))


def _is_own(endpoint_id: int) -> Expression:
    return (WebhookEndpoint.customer == customer_id()) & (WebhookEndpoint.id == row_id(endpoint_id))
