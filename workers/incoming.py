"""incoming-messages: saves what the customer wrote and hands it to the AI, with the plan's priority."""

from __future__ import annotations

from shared import db, ledger, payloads
from shared.errors import Permanent
from shared.ledger import Claim, Ticket
from shared.queues import Queue
from shared.stage import stage

# Conversation, message, usage, event, this job's end and the AI job are one statement. The AI reads the last ten
# messages when its turn comes, not here: by then the replies to the earlier ones are among them.
_RECEIVE = """
    with bot as (
        select b.id, b.customer_id, b.debounce_seconds, c.priority
        from chatbot b join customer c on c.id = b.customer_id where b.id = %(chatbot_id)s
    ), talk as (
        insert into conversation (chatbot_id, channel, external_user_id)
        select id, %(channel)s, %(external_user_id)s from bot
        on conflict (chatbot_id, channel, external_user_id) do update set updated_at = clock_timestamp()
        returning id
    ), said as (
        insert into message (id, conversation_id, chatbot_id, channel, role, content, status, external_id, metadata)
        select %(message_id)s, talk.id, bot.id, %(channel)s, 'user', %(content)s, 'DELIVERED', %(external_id)s, %(metadata)s
        from bot, talk
        returning id, conversation_id
    ), usage as (
        insert into usage_log (customer_id, kind, message_id) select bot.customer_id, 'message', said.id from bot, said
    )
    select job_finish(%(job_id)s, %(claim)s,
        jsonb_build_array(jsonb_build_object('queue', 'ai-processing', 'priority', bot.priority,
            'customer_id', bot.customer_id, 'message_id', said.id, 'ordering_key', said.conversation_id::text,
            'delay_seconds', bot.debounce_seconds, 'debounce', bot.debounce_seconds > 0,
            'payload', jsonb_build_object('message_id', said.id, 'conversation_id', said.conversation_id))),
        jsonb_build_array(jsonb_build_object('customer_id', bot.customer_id, 'event', 'message.received',
            'data', jsonb_build_object('message_id', said.id, 'conversation_id', said.conversation_id,
                'channel', %(channel)s, 'external_user_id', %(external_user_id)s, 'content', %(content)s))))
    from bot, said
"""


def receive(claimed: Claim) -> list[Ticket]:
    """Saves the message. Raises Permanent if its chatbot is gone or the payload is garbage."""
    message = payloads.read(Queue.INCOMING, claimed.payload)
    tickets = ledger.finish(claimed, _RECEIVE, {**message, "metadata": db.json(message["metadata"])})
    if tickets is None:
        raise Permanent(f"chatbot {message['chatbot_id']} does not exist any more")
    return tickets


actors = stage(Queue.INCOMING, receive)
