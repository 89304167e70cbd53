"""outgoing-messages: routes a reply by its channel. A widget's is SENT here; the open page reads it from the database."""

from __future__ import annotations

from shared import ledger, payloads
from shared.errors import Permanent
from shared.ledger import Claim, Ticket
from shared.queues import Queue
from shared.stage import stage

_WIDGET = """
    with sent as (
        update message set status = 'SENT', attempts = %(attempt)s, updated_at = clock_timestamp()
        where id = %(message_id)s and role = 'assistant' and status_rank(status) <= status_rank('SENT')
        returning id, conversation_id, channel, reply_to
    )
    select job_finish(%(job_id)s, %(claim)s, '[]', jsonb_build_array(jsonb_build_object(
        'customer_id', %(customer_id)s::bigint, 'event', 'message.sent', 'data', jsonb_build_object(
            'message_id', id, 'conversation_id', conversation_id, 'channel', channel, 'reply_to', reply_to))))
    from sent
"""

_HAND_OVER = """
    select job_finish(%(job_id)s, %(claim)s, jsonb_build_array(jsonb_build_object(
        'queue', %(queue)s::text, 'customer_id', %(customer_id)s::bigint, 'message_id', %(message_id)s::bigint,
        'ordering_key', %(conversation_id)s::text, 'payload', jsonb_build_object('message_id', %(message_id)s::bigint))))
"""

SEND_QUEUES = {"whatsapp_cloud": Queue.WHATSAPP_CLOUD, "whatsapp_qr": Queue.WHATSAPP_QR}


def route(claimed: Claim) -> list[Ticket]:
    """Marks a widget's reply SENT, or hands it to the channel's send stage."""
    reply = payloads.read(Queue.OUTGOING, claimed.payload)
    queue = SEND_QUEUES.get(reply["channel"])
    params = {**reply, "customer_id": claimed.customer_id, "attempt": claimed.attempt, "queue": queue}
    tickets = ledger.finish(claimed, _WIDGET if queue is None else _HAND_OVER, params)
    if tickets is None:
        raise Permanent(f"there is no reply {reply['message_id']} to deliver")
    return tickets


actors = stage(Queue.OUTGOING, route)
