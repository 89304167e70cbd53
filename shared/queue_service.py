"""What other code calls: messages in, webhooks out, and how the queues stand.

service = QueueService()
service.enqueue_incoming_message(chatbot_id=1, channel="widget", external_user_id="v-1", content="Hello")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from peewee import Alias, Cast, Value, fn

from shared import db
from shared.broker.enqueue import EnqueueInTransactionError, enqueue, tickets_of
from shared.db import sql
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import InvalidPayload, UnknownChatbot
from shared.jobs import write_check
from shared.models import Job, Message, WebhookEndpoint, WebhookEvent
from shared.payloads import IncomingMessage, WebhookDelivery, check
from shared.privacy import marks
from shared.queues import Queue
from shared.webhooks.deliveries import delivery_job_tickets

queries = sql.load(__file__)

STATES = ("waiting", "active", "completed", "failed", "delayed")


@dataclass(frozen=True)
class Accepted:
    """An inbound message: `new` is False if the same external id had been accepted before."""

    message_id: int
    new: bool


class QueueService:
    """Stateless; safe to share between threads."""

    def enqueue_incoming_message(
        self,
        *,
        chatbot_id: int,
        channel: str,
        external_user_id: str,
        content: str,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Accepts a customer's message; returns its message id.

        The same external id (of this chatbot and channel) accepted again returns the first message's id and does
        nothing else. Raises InvalidPayload (UnknownChatbot among them); then nothing is stored. Raises ServiceDown if
        PostgreSQL does not answer; whether it is stored is not known then, and only an external id makes it safe to call again.
        """
        return self.accept_message(
            {
                "chatbot_id": chatbot_id,
                "channel": channel,
                "external_user_id": external_user_id,
                "content": content,
                "external_id": external_id,
                "metadata": dict(metadata or {}),
            }
        ).message_id

    def accept_message(self, message: Mapping[str, Any]) -> Accepted:
        """As enqueue_incoming_message, and tells whether the message was new."""
        _refuse_inside_transaction()
        payload = check(IncomingMessage, "message", message)
        accepted = _accept(payload) if payload["external_id"] else _accept_once(payload)
        if accepted is None:
            raise UnknownChatbot(payload["chatbot_id"])
        return accepted

    def accept_messages(self, messages: Sequence[Mapping[str, Any]]) -> list[Accepted | InvalidPayload]:
        """As accept_message, for several that all have an external id: in their order, by one statement.

        One that is refused is answered by what would be raised, and drops no other. Raises ServiceDown.
        """
        _refuse_inside_transaction()
        checked = [_checked(message) for message in messages]
        payloads = [payload for payload in checked if not isinstance(payload, InvalidPayload)]
        accepted = iter(_accept_page(payloads))
        return [
            payload if isinstance(payload, InvalidPayload) else next(accepted) or UnknownChatbot(payload["chatbot_id"])
            for payload in checked
        ]

    def enqueue_webhook_delivery(self, *, endpoint_id: int, event: str, data: Mapping[str, Any]) -> int:
        """Delivers an event to one endpoint; returns the event's id. Raises InvalidPayload."""
        _refuse_inside_transaction()
        payload = check(WebhookDelivery, "webhook delivery", {"endpoint_id": endpoint_id, "event": event, "data": data})
        is_listening = (WebhookEndpoint.id == endpoint_id) & WebhookEndpoint.active
        values = WebhookEndpoint.select(
            WebhookEndpoint.customer, WebhookEndpoint.id, Value(event), Cast(Value(json.dumps(payload["data"])), "jsonb")
        ).where(is_listening)
        columns = [WebhookEvent.customer, WebhookEvent.endpoint, WebhookEvent.event, WebhookEvent.payload]
        new_event = db.row(WebhookEvent.insert_from(values, columns).returning(WebhookEvent.id, delivery_job_tickets()))
        if new_event is None:
            raise InvalidPayload("webhook delivery", {"endpoint_id": f"there is no active endpoint {endpoint_id}"})
        enqueue(tickets_of(new_event["tickets"]))
        return int(new_event["id"])

    def get_queue_stats(self) -> dict[str, dict[str, int]]:
        """Jobs by state, for each queue and in `total`: {queue: {waiting, active, completed, failed, delayed}}."""
        stats = {name: dict.fromkeys(STATES, 0) for name in (*(queue.value for queue in Queue), "total")}
        counts = Job.select(Job.queue, Job.state, fn.COUNT(Job.id).alias("jobs")).group_by(Job.queue, Job.state)
        for row in db.rows(counts):
            stats[row["queue"]][row["state"]] = row["jobs"]
            stats["total"][row["state"]] += row["jobs"]
        return stats


# A row and the job that follows from it are written by one statement, `Message.insert(…).returning(…, outgoing_job_tickets(7))`;
# the caller hands the row's `tickets` to `enqueue`.


def outgoing_job_tickets(customer_id: int) -> Alias:
    """For `returning` of a reply: adds the job that delivers it."""
    job = fn.outgoing_job_v1(customer_id, Message.id, Message.conversation, Message.channel)
    return Alias(fn.job_add_v1(fn.jsonb_build_array(job)), "tickets")


_accept_statement = Statement(queries["accept_messages"], db.WEB_RETRY_SECONDS)
#: For those without an external id: a second try would accept them again.
_accept_once_statement = Statement(queries["accept_messages"], 0.0, name="accept_messages_once")


def _checked(message: Mapping[str, Any]) -> dict[str, Any] | InvalidPayload:
    try:
        return check(IncomingMessage, "message", message)
    except InvalidPayload as refusal:
        return refusal


def _accept_all(statement: Statement, payloads: Sequence[Mapping[str, Any]]) -> list[Accepted | None]:
    """One commit and one visit to Redis for all that threads accept at the same moment; None for an unknown chatbot's."""
    rows = statement.rows_by_item([{"payload": payload, "marks": _marks(payload)} for payload in payloads])
    if db.refuses_writes():
        write_check.look_again()
    answers = [row["accepted"] if row else None for row in rows]
    enqueue(tickets_of([ticket for answer in answers if answer for ticket in answer["tickets"]]))
    return [Accepted(answer["message_id"], answer["accepted"]) if answer else None for answer in answers]


def _marks(payload: Mapping[str, Any]) -> list[str]:
    names = [payload["external_user_id"], *(payload.get("identities") or ())]
    return marks.of_arrival(payload["chatbot_id"], payload["channel"], names, payload["external_id"])


_accept: Batch[Mapping[str, Any], Accepted | None] = Batch(partial(_accept_all, _accept_statement))
_accept_once: Batch[Mapping[str, Any], Accepted | None] = Batch(partial(_accept_all, _accept_once_statement))


def _accept_page(payloads: Sequence[Mapping[str, Any]]) -> Sequence[Accepted | None]:
    # One alone shares its commit with those that other threads accept at the moment.
    return _accept_all(_accept_statement, payloads) if len(payloads) > 1 else [_accept(payload) for payload in payloads]


def _refuse_inside_transaction() -> None:
    if db.in_transaction():
        raise EnqueueInTransactionError("accepting a job inside an open transaction: it would be enqueued before it is committed")


_service = QueueService()
enqueue_incoming_message = _service.enqueue_incoming_message
enqueue_webhook_delivery = _service.enqueue_webhook_delivery
get_queue_stats = _service.get_queue_stats
