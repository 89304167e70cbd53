"""/api/v1/webhook-events/{id}/attempts and /webhook-endpoints/{id}/attempts: each call of an endpoint, and what came of it."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from peewee import Expression

from shared.models import WebhookAttempt, WebhookEndpoint, WebhookEvent
from shared.webhooks.triggers import Trigger
from web.api.api import api, customer_id, page, row_or_404
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_text, stored_time
from web.parameters import BodySchema


class PhasesSchema(BodySchema):
    """Milliseconds of each phase that there was; a connection that was kept has only an answer."""

    resolve = fields.Float(metadata={"description": "The look-up of the name."})
    connect = fields.Float(metadata={"description": "The TCP connection."})
    tls = fields.Float(metadata={"description": "TLS over it."})
    answer = fields.Float(metadata={"description": "The request and its answer."})


class AttemptSchema(BodySchema):
    """An attempt to deliver an event."""

    id = stored_id()
    event_id = stored_id()
    endpoint_id = stored_id()
    number = fields.Integer(required=True, metadata={"description": "Of the event's attempts; X-Webhook-Attempt."})
    trigger = stored_text(*Trigger)
    started_at = stored_time()
    ms = fields.Nested(PhasesSchema, required=True)
    status = fields.Integer(required=True, allow_none=True, metadata={"description": "HTTP's; null: there was no answer."})
    answer = stored_text(allow_none=True, metadata={"description": "The first 4 KiB of the answer's body."})
    error_code = stored_text(allow_none=True)
    error = stored_text(allow_none=True)
    next_at = stored_time(allow_none=True, metadata={"description": "When the event is tried again by itself."})


AttemptPageSchema = page_of("AttemptPageSchema", AttemptSchema)

_SHOWN = tuple(getattr(WebhookAttempt, name) for name in AttemptSchema._declared_fields if name != "event_id")


@api.get("/webhook-events/<int:event_id>/attempts")
@api.query(PageQuerySchema)
@api.response(200, AttemptPageSchema)
def list_attempts_of_event(query: dict[str, Any], event_id: int) -> dict[str, Any]:
    """List an event's attempts"""
    is_own = (WebhookEvent.id == event_id) & (WebhookEvent.customer == customer_id())
    event = row_or_404(WebhookEvent.select(WebhookEvent.id).where(is_own), "webhook event")
    return _page(WebhookAttempt.event == event["id"], query)


@api.get("/webhook-endpoints/<int:endpoint_id>/attempts")
@api.query(PageQuerySchema)
@api.response(200, AttemptPageSchema)
def list_attempts_of_endpoint(query: dict[str, Any], endpoint_id: int) -> dict[str, Any]:
    """List an endpoint's attempts"""
    is_own = (WebhookEndpoint.id == endpoint_id) & (WebhookEndpoint.customer == customer_id())
    endpoint = row_or_404(WebhookEndpoint.select(WebhookEndpoint.id).where(is_own), "webhook endpoint")
    return _page(WebhookAttempt.endpoint_id == endpoint["id"], query)


def _page(condition: Expression, query: dict[str, Any]) -> dict[str, Any]:
    return page(WebhookAttempt.select(WebhookAttempt.event, *_SHOWN).where(condition), **query)
