"""Fills a database with years of traffic in a minute: rows as the pipeline leaves them, to measure it on a large database."""

from __future__ import annotations

from shared import db

_CONVERSATIONS = """
    insert into conversation (chatbot_id, channel, external_user_id)
    select %(chatbot)s, 'widget', 'old-' || n from generate_series(1, greatest(1, %(messages)s / 10)) n
"""

_QUESTIONS = """
    insert into message (conversation_id, chatbot_id, channel, role, content, status, external_id)
    select c.id, c.chatbot_id, c.channel, 'user', 'When was that?', 'DELIVERED', 'old-' || c.id || '-' || n
    from conversation c, generate_series(1, 5) n where c.external_user_id like 'old-%%'
"""

_REPLIES = """
    insert into message (conversation_id, chatbot_id, channel, role, content, status, external_id, reply_to)
    select conversation_id, chatbot_id, channel, 'assistant', 'Long ago.', 'SENT', 'wamid.' || external_id, id
    from message where role = 'user' and external_id like 'old-%%'
"""

_USAGE = """
    insert into usage_log (customer_id, kind, message_id)
    select %(customer)s, 'message', id from message where role = 'user' and external_id like 'old-%%'
"""

_EVENTS = """
    insert into webhook_event (customer_id, endpoint_id, event, payload, status, delivered_at)
    select e.customer_id, e.id, 'message.sent', '{}', 'DELIVERED', clock_timestamp()
    from webhook_endpoint e, generate_series(1, %(jobs)s / 2) where e.customer_id = %(customer)s
"""

# Closed over the last two hours, so that half of them are old enough for prune.
_JOBS = """
    insert into job (queue, state, payload, ordering_key, customer_id, message_id, attempts, claims, created_at, closed_at)
    select (array['incoming-messages', 'ai-processing', 'outgoing-messages', 'webhook-delivery'])[1 + n %% 4], 'completed',
        jsonb_build_object('message_id', n), 'old-' || n, %(customer)s, n, 1, 1, t.at, t.at
    from generate_series(1, %(jobs)s) n,
        lateral (select clock_timestamp() - make_interval(secs => 7200.0 * n / %(jobs)s) as at) t
"""


def fill(chatbot: int, customer: int, messages: int, jobs: int) -> None:
    """Adds about this many messages (ten to a conversation) with usage and webhook events, and closed jobs; runs ANALYZE."""
    params = {"chatbot": chatbot, "customer": customer, "messages": messages, "jobs": jobs}
    with db.transaction():
        db.rows("set local session_replication_role = replica")  # no foreign key checks: they hold by construction
        for statement in (_CONVERSATIONS, _QUESTIONS, _REPLIES, _USAGE, _EVENTS, _JOBS):
            db.rows(statement, params)
    db.rows("analyze")
