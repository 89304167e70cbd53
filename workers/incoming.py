"""incoming-messages: saves what the customer wrote and hands it to the AI, with the plan's priority."""

from __future__ import annotations

from shared import payloads
from shared.errors import PermanentError
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming
from shared.jobs.single_statement import ENDED, TAKES, asked
from shared.jobs.stage import stage
from shared.queues import Queue

# Conversation, message, usage, event, this job's end and the AI job are one statement. The AI reads the last ten
# messages when its turn comes, not here: by then the replies to the earlier ones are among them. A batch goes in the
# order of its conversations, so that two processes never wait for each other.
whole = Ending(
    "incoming_received",
    f"""
    with {asked(Queue.INCOMING)}, taken as (
        update job set {ENDED} from asked, chatbot b join customer c on c.id = b.customer_id
        where {TAKES} and b.id = (job.payload ->> 'chatbot_id')::bigint
        returning n, ordering_key, payload, b.customer_id, b.debounce_seconds, c.priority
    ), mine as materialized (
        select taken.*, said.* from taken, jsonb_to_record(payload) as said(message_id bigint, chatbot_id bigint, channel text,
            external_user_id text, external_id text, content text, metadata jsonb)
    ), talk as (
        insert into conversation (chatbot_id, channel, external_user_id)
        select distinct chatbot_id, channel, external_user_id from mine order by 1, 2, 3
        on conflict (chatbot_id, channel, external_user_id) do update set updated_at = clock_timestamp()
        returning id, chatbot_id, channel, external_user_id
    ), said as (
        insert into message (id, conversation_id, chatbot_id, channel, role, content, status, external_id, metadata)
        select message_id, talk.id, chatbot_id, channel, 'user', content, 'DELIVERED', external_id, coalesce(metadata, '{{}}')
        from mine join talk using (chatbot_id, channel, external_user_id)
        returning id, conversation_id
    ), done as (
        select mine.*, said.conversation_id from mine join said on said.id = mine.message_id order by n
    ), usage as (
        insert into usage_log (customer_id, kind, message_id) select customer_id, 'message', message_id from done
    )
    select jsonb_agg(n) as done, jsonb_object_agg(n, message_id) as messages, job_pass(
        '{Queue.INCOMING}', array_agg(ordering_key),
        jsonb_agg(jsonb_build_object('queue', '{Queue.AI}', 'priority', priority, 'customer_id', customer_id,
            'message_id', message_id, 'ordering_key', conversation_id::text,
            'delay_seconds', debounce_seconds, 'debounce', debounce_seconds > 0,
            'payload', jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id))),
        jsonb_agg(jsonb_build_object('customer_id', customer_id, 'event', 'message.received',
            'data', jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id,
                'channel', channel, 'external_user_id', external_user_id, 'content', content))), p_seen => false) as tickets
    from done having count(*) > 0
    """,
)


def receive(claimed: Claim) -> None:
    """Saves the message. Raises PermanentError if its chatbot is gone or the payload is garbage."""
    message = payloads.read(Queue.INCOMING, claimed.payload)
    if not whole(claimed):
        raise PermanentError(f"chatbot {message['chatbot_id']} does not exist any more")


claim = Claiming(Queue.INCOMING)
actors = stage(claim, receive, whole)
