"""The job that delivers an event; and the one that delivers it again because somebody wants it: under its own id, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peewee import Alias, fn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.errors import Refused
from shared.models import WebhookEndpoint, WebhookEvent
from shared.webhooks.triggers import Trigger


def delivery_job_tickets(trigger: Trigger = Trigger.FIRST) -> Alias:
    """For `returning` of a webhook event: adds the job that delivers it."""
    job = fn.delivery_job_v2(WebhookEvent.customer, WebhookEvent.id, trigger.value)
    return Alias(fn.job_add_v1(fn.jsonb_build_array(job)), "tickets")


def resend(customer_id: int, event_id: int, record: Callable[[], object] | None = None) -> dict[str, Any] | None:
    """The event, on its way again, with its schedule from the beginning; None: it is not the customer's. Raises Refused.

    `record` writes of it in the same transaction.
    """
    own = (WebhookEvent.customer == customer_id) & (WebhookEvent.id == event_id)
    event = db.row(WebhookEvent.select(WebhookEndpoint.active, WebhookEndpoint.url).join(WebhookEndpoint).where(own))
    if event is None:
        return None
    if event["url"] is None:
        raise Refused("The event's endpoint has no URL. Read the event with GET /events.")
    if not event["active"]:
        raise Refused("The event's endpoint is switched off. Set it active first.")
    # Not while it is under way: the guard and the new job are one statement.
    redelivery = (
        WebhookEvent.update(
            status="PENDING", delivered_at=None, error=None, response_status=None, next_attempt_at=None, redeliveries=0
        )
        .where(own, WebhookEvent.status != "PENDING")
        .returning(WebhookEvent.id, WebhookEvent.status, delivery_job_tickets(Trigger.MANUAL))
    )
    with db.transaction():
        row = db.row(redelivery)
        if row is None:
            raise Refused("The event is being delivered. Wait until its status is DELIVERED or FAILED.")
        if record is not None:
            record()
    enqueue(tickets_of(row.pop("tickets")))
    return row
