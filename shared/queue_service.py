"""What other code calls: messages in, webhooks out, and how the queues stand.

service = QueueService()
service.enqueue_incoming_message(chatbot_id=1, channel="widget", external_user_id="v-1", content="Hello")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared import db
from shared.broker.enqueue import EnqueueInTransactionError, enqueue
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import InvalidPayload, UnknownChatbot
from shared.jobs import ledger
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

_DELIVER = """
    with event as (
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select customer_id, id, %(event)s, %(data)s from webhook_endpoint where id = %(endpoint_id)s and active
        returning id, customer_id
    )
    select id, job_add(jsonb_build_array(jsonb_build_object('queue', 'webhook-delivery',
        'customer_id', customer_id, 'webhook_event_id', id,
        'payload', jsonb_build_object('webhook_event_id', id)))) as tickets
    from event
"""

_STATS = "select queue, state, count(*)::int as jobs from job group by queue, state"


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
        given = {"endpoint_id": endpoint_id, "event": event, "data": data}
        payload = check(WebhookDelivery, "webhook delivery", given)
        found = db.row(_DELIVER, {**payload, "data": db.json(payload["data"])})
        if found is None:
            problem = f"there is no active endpoint {endpoint_id}; want the id of one"
            raise InvalidPayload("webhook delivery", {"endpoint_id": problem})
        enqueue(ledger.tickets_of(found["tickets"]))
        return int(found["id"])

    def get_queue_stats(self) -> dict[str, dict[str, int]]:
        """Jobs by state, for each queue and in `total`: {queue: {waiting, active, completed, failed, delayed}}."""
        stats = {name: dict.fromkeys(STATES, 0) for name in (*(queue.value for queue in Queue), "total")}
        for found in db.rows(_STATS):
            stats[found["queue"]][found["state"]] = found["jobs"]
            stats["total"][found["state"]] += found["jobs"]
        return stats


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
