"""The callback of a job that failed for good: writes FAILED where it belongs, and lets the conversation go on.

Dramatiq calls it through `on_retry_exhausted`; the sweep calls `bury` for those whose callback was lost. Doing it
again does nothing.
"""

from __future__ import annotations

import logging
from typing import Any

import dramatiq

from shared import db, queues
from shared.broker.enqueue import enqueue
from shared.broker.redis_broker import Broker
from shared.jobs import ledger
from shared.queues import Queue
from shared.telemetry.logs import log_context

log = logging.getLogger(__name__)


def declare(queue: Queue, broker: Broker) -> dramatiq.Actor[..., None]:
    """Registers the dead_letter actor of a stage's process, in front of the stage's own queue."""
    first_lane = next(iter(queues.lanes(queue).values()))
    register = dramatiq.actor(
        actor_name=queues.dead_letter_name(queue),
        queue_name=first_lane,
        priority=0,
        max_retries=None,  # the database will be back; the sweep would do it too
        max_backoff=30_000,  # ms
        broker=broker,
    )
    return register(dead_letter)


def dead_letter(message: dict[str, Any], _retries: dict[str, Any]) -> None:
    """Buries the job of a message that Retries gave up: `message` is Dramatiq's, as a dict."""
    bury(message["args"][0])


def bury(job_id: int) -> bool:
    """Writes a failed job's consequences; False if that was done before."""
    job = db.row("select id, queue, last_error from job where id = %s and state = 'failed' and closed_at is null", [job_id])
    if job is None:
        return False
    tickets = db.scalar(_CONSEQUENCES[Queue(job["queue"])], {"job_id": job_id})
    if tickets is None:
        return False
    enqueue(ledger.tickets_of(tickets))
    with log_context(job=job_id, queue=job["queue"]):
        log.error("dead letter", extra={"error": job["last_error"]})
    return True


_INCOMING = "select job_bury(%(job_id)s)"

# The message that could not be answered gets the chatbot's fallback, unless it has a reply; that goes out as any other.
_AI = """
    with dead as (
        select j.customer_id, j.message_id, j.last_error, m.conversation_id, m.chatbot_id, m.channel, b.fallback_message
        from job j left join message m on m.id = j.message_id left join chatbot b on b.id = m.chatbot_id
        where j.id = %(job_id)s and j.state = 'failed' and j.closed_at is null
    ), told as (
        update message set error = dead.last_error, updated_at = clock_timestamp()
        from dead where message.id = dead.message_id
    ), reply as (
        insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata)
        select conversation_id, chatbot_id, channel, 'assistant', fallback_message, 'PENDING', message_id,
               jsonb_build_object('fallback', true, 'reason', last_error)
        from dead where conversation_id is not null
        on conflict (reply_to) where reply_to is not null do nothing
        returning id, conversation_id, channel
    )
    select job_bury(%(job_id)s, coalesce((
        select jsonb_build_array(jsonb_build_object('queue', 'outgoing-messages', 'customer_id', dead.customer_id,
            'message_id', reply.id, 'ordering_key', reply.conversation_id::text,
            'payload', jsonb_build_object('message_id', reply.id, 'conversation_id', reply.conversation_id,
                                          'channel', reply.channel)))
        from reply, dead), '[]'))
"""

_SEND = """
    with dead as (
        select customer_id, message_id, last_error from job
        where id = %(job_id)s and state = 'failed' and closed_at is null
    ), failed as (
        update message set status = 'FAILED', error = dead.last_error, updated_at = clock_timestamp()
        from dead where message.id = dead.message_id and status_rank(status) < status_rank('FAILED')
        returning message.id, message.conversation_id, message.channel, message.reply_to, dead.customer_id, dead.last_error
    )
    select job_bury(%(job_id)s, '[]', coalesce((
        select jsonb_build_array(jsonb_build_object('customer_id', customer_id, 'event', 'message.failed',
            'data', jsonb_build_object('message_id', id, 'conversation_id', conversation_id, 'channel', channel,
                                       'reply_to', reply_to, 'error', last_error)))
        from failed), '[]'))
"""

_WEBHOOK = """
    with dead as (
        select webhook_event_id, last_error from job
        where id = %(job_id)s and state = 'failed' and closed_at is null
    ), failed as (
        update webhook_event set status = 'FAILED', error = dead.last_error
        from dead where webhook_event.id = dead.webhook_event_id and status = 'PENDING'
    )
    select job_bury(%(job_id)s)
"""

_CONSEQUENCES: dict[Queue, str] = {
    Queue.INCOMING: _INCOMING,
    Queue.AI: _AI,
    Queue.OUTGOING: _SEND,
    Queue.WHATSAPP_CLOUD: _SEND,
    Queue.WHATSAPP_QR: _SEND,
    Queue.WEBHOOKS: _WEBHOOK,
}
