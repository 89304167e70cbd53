-- name: read_news
-- What changed in visitors' conversations, each behind a revision: one row for each that changed. SQL, and not a query of the
-- models: every open page's news go through it, and building that costs ten times what running this does. A conversation's
-- messages are few enough to be looked through; an index on revision would make every status a new entry.
with input as (
    select * from jsonb_to_recordset($1) as i(n integer, chatbot_id bigint, visitor_id text, after bigint, batch integer)
), changed_conversations as (
    select input.n, input.after, input.batch, conversation.id, conversation.revision
    from input join conversation on conversation.chatbot_id = input.chatbot_id and conversation.channel = 'widget'
        and conversation.external_user_id = input.visitor_id and conversation.revision > input.after
)
select n, revision as newest, (
    select coalesce(jsonb_agg(jsonb_build_array(revision, message) order by revision), '[]')
    from (
        select revision, jsonb_build_object('id', id, 'role', role, 'content', content, 'status', status, 'reply_to', reply_to,
            'created_at', created_at) as message
        from message
        where conversation_id = changed_conversations.id and revision > after and status <> 'PENDING'
        order by revision limit batch
    ) changed_messages) as changes
from changed_conversations
