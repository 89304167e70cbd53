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

from peewee import Alias, Cast, Function, Value, fn

from shared import db
from shared.broker.enqueue import EnqueueInTransactionError, enqueue
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import InvalidPayload, UnknownChatbot
from shared.jobs import ledger
from shared.models import Job, Message, WebhookEndpoint, WebhookEvent
from shared.payloads import IncomingMessage, WebhookDelivery, check
from shared.queues import Queue

STATES = ("waiting", "active", "completed", "failed", "delayed")

# In the order in which job_lock goes through lines: two processes never wait for each other.
_ACCEPTED = f"""
    select n, message_accept(chatbot_id, channel, external_user_id, external_id, payload) as found
    from (select n, payload, said.* from jsonb_to_recordset($1) as a(n int, payload jsonb),
              jsonb_to_record(payload) as said(chatbot_id bigint, channel text, external_user_id text, external_id text)
          order by hashtextextended('{Queue.INCOMING} ' || chatbot_id || ':' || channel || ':' || external_user_id, 0), n) a
"""


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
            problem = f"there is no active endpoint {endpoint_id}; want the id of one"
            raise InvalidPayload("webhook delivery", {"endpoint_id": problem})
        enqueue(ledger.tickets_of(new_event["tickets"]))
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
    payload = fn.jsonb_build_object("message_id", Message.id, "conversation_id", Message.conversation, "channel", Message.channel)
    return _added_job(
        Queue.OUTGOING,
        payload,
        ordering_key=Cast(Message.conversation, "text"),
        customer_id=customer_id,
        message_id=Message.id,
    )


def delivery_job_tickets() -> Alias:
    """For `returning` of a webhook event: adds the job that delivers it."""
    payload = fn.jsonb_build_object("webhook_event_id", WebhookEvent.id)
    return _added_job(Queue.WEBHOOKS, payload, customer_id=WebhookEvent.customer, webhook_event_id=WebhookEvent.id)


def _added_job(queue: Queue, payload: Function, **columns: Any) -> Alias:
    members = [part for pair in columns.items() for part in pair]
    job = fn.jsonb_build_object("queue", queue.value, "payload", payload, *members)
    return Alias(fn.job_add(fn.jsonb_build_array(job)), "tickets")


_again = Statement("accept", _ACCEPTED, db.WEB_RETRY_SECONDS)
#: For those without an external id: a second try would accept them again.
_once = Statement("accept_once", _ACCEPTED, 0.0)


def _accept_all(statement: Statement, payloads: Sequence[Mapping[str, Any]]) -> list[Accepted | None]:
    """One commit and one visit to Redis for all that threads accept at the same moment; None for an unknown chatbot's."""
    answers = {row["n"]: row["found"] for row in statement.execute([{"payload": payload} for payload in payloads])}
    found = [answers[n] for n in range(len(payloads))]
    enqueue(ledger.tickets_of([ticket for one in found if one for ticket in one["tickets"]]))
    return [Accepted(one["message_id"], one["accepted"]) if one else None for one in found]


_accept: Batch[Mapping[str, Any], Accepted | None] = Batch(partial(_accept_all, _again))
_accept_once: Batch[Mapping[str, Any], Accepted | None] = Batch(partial(_accept_all, _once))


def _refuse_inside_transaction() -> None:
    if db.in_transaction():
        raise EnqueueInTransactionError("accepting a job inside an open transaction: it would be enqueued before it is committed")


_service = QueueService()
enqueue_incoming_message = _service.enqueue_incoming_message
enqueue_webhook_delivery = _service.enqueue_webhook_delivery
get_queue_stats = _service.get_queue_stats
