"""outgoing-messages: routes a reply by its channel. A widget's is SENT here; the open page reads it from the database."""

from __future__ import annotations

from shared import payloads
from shared.errors import PermanentError
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming
from shared.jobs.single_statement import ENDED, TAKES, asked
from shared.jobs.stage import stage
from shared.queues import Queue

# A widget's status numbers its conversation (widget_changed), so the conversations are locked first, in the order in which
# incoming-messages goes through them: two processes never wait for each other.
whole = Ending(
    "outgoing_routed",
    f"""
    with {asked(Queue.OUTGOING)}, mine as materialized (
        update job set {ENDED} from asked, message m
        where {TAKES} and m.id = (job.payload ->> 'message_id')::bigint and m.role = 'assistant'
          and (m.channel <> 'widget' or status_rank(m.status) <= status_rank('SENT'))
        returning n, ordering_key, customer_id, job.attempts, m.id as message_id, m.conversation_id, m.channel, m.reply_to
    ), talk as materialized (
        select id from conversation where id = any (array(select conversation_id from mine where channel = 'widget'))
        order by chatbot_id, channel, external_user_id for no key update
    ), shown as (
        update message m set status = 'SENT', attempts = mine.attempts, updated_at = clock_timestamp()
        from mine, (select count(*) from talk) locked
        where m.id = mine.message_id and mine.channel = 'widget'
        returning m.id
    )
    select jsonb_agg(n) as done, jsonb_object_agg(n, message_id) as messages, job_pass(
        '{Queue.OUTGOING}', array_agg(ordering_key),
        coalesce(jsonb_agg(jsonb_build_object(
            'queue', case channel when 'whatsapp_cloud' then '{Queue.WHATSAPP_CLOUD}' else '{Queue.WHATSAPP_QR}' end,
            'customer_id', customer_id, 'message_id', message_id, 'ordering_key', conversation_id::text,
            'payload', jsonb_build_object('message_id', message_id))) filter (where channel <> 'widget'), '[]'),
        coalesce(jsonb_agg(jsonb_build_object('customer_id', customer_id, 'event', 'message.sent',
            'data', jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id, 'channel', channel,
                'reply_to', reply_to))) filter (where channel = 'widget'), '[]'),
        p_seen => bool_or(channel = 'widget')) as tickets
    from mine, (select count(*) from shown) first having count(*) > 0
    """,
)


def route(claimed: Claim) -> None:
    """Marks a widget's reply SENT, or hands it to the channel's send stage. Raises PermanentError if there is none."""
    reply = payloads.read(Queue.OUTGOING, claimed.payload)
    if not whole(claimed):
        raise PermanentError(f"there is no reply {reply['message_id']} to deliver")


claim = Claiming(Queue.OUTGOING)
actors = stage(claim, route, whole)
