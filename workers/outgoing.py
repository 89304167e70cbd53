"""outgoing-messages: routes a reply by its channel. A widget's is SENT here; the open page reads it from the database."""

from __future__ import annotations

from shared import payloads
from shared.ending import Ending
from shared.errors import Permanent
from shared.ledger import Claim, Claiming
from shared.queues import Queue
from shared.stage import stage

# A widget's status numbers its conversation (widget_changed), so the conversations are locked first, in the order in which
# incoming-messages goes through them: two processes never wait for each other.
_shown = Ending(
    "outgoing_shown",
    """
    with mine as materialized (
        select * from jsonb_to_recordset($1)
            as a(n int, job_id bigint, claim int, message_id bigint, attempt int, customer_id bigint)
    ), talk as materialized (
        select id from conversation
        where id = any (array(select conversation_id from message where id = any (array(select message_id from mine))))
        order by chatbot_id, channel, external_user_id for no key update
    ), sent as (
        update message m set status = 'SENT', attempts = mine.attempt, updated_at = clock_timestamp()
        from mine, (select count(*) from talk) locked
        where m.id = mine.message_id and m.role = 'assistant' and status_rank(m.status) <= status_rank('SENT')
        returning mine.*, m.conversation_id, m.channel, m.reply_to
    )
    select jsonb_agg(n) as done, job_finish(
        jsonb_object_agg(job_id, claim), '[]',
        jsonb_agg(jsonb_build_object('customer_id', customer_id, 'event', 'message.sent',
            'data', jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id, 'channel', channel,
                'reply_to', reply_to)))) as tickets
    from sent having count(*) > 0
    """,
)

_handed_over = Ending(
    "outgoing_handed_over",
    """
    select jsonb_agg(n) as done, job_finish(
        jsonb_object_agg(job_id, claim),
        jsonb_agg(jsonb_build_object('queue', queue, 'customer_id', customer_id, 'message_id', message_id,
            'ordering_key', conversation_id::text, 'payload', jsonb_build_object('message_id', message_id))),
        p_seen => false) as tickets
    from jsonb_to_recordset($1) as mine(n int, job_id bigint, claim int, message_id bigint, conversation_id bigint,
        customer_id bigint, queue text)
    """,
)

SEND_QUEUES = {"whatsapp_cloud": Queue.WHATSAPP_CLOUD, "whatsapp_qr": Queue.WHATSAPP_QR}


def route(claimed: Claim) -> None:
    """Marks a widget's reply SENT, or hands it to the channel's send stage."""
    reply = payloads.read(Queue.OUTGOING, claimed.payload)
    queue = SEND_QUEUES.get(reply["channel"])
    ending = _shown if queue is None else _handed_over
    values = {**reply, "customer_id": claimed.customer_id, "attempt": claimed.attempt, "queue": queue}
    if not ending(claimed, values):
        raise Permanent(f"there is no reply {reply['message_id']} to deliver")


claim = Claiming(Queue.OUTGOING)
actors = stage(claim, route)
