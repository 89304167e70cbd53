-- name: news(chatbot_id, visitor_id, after, batch)
-- What changed in a visitor's conversation behind a revision. SQL, and not a query of the models: each open page runs it
-- for each change, and building that costs ten times what running this does. A conversation's messages are few enough to be
-- looked through; an index on revision would make every status a new entry.
with conversation as (
    select id, revision from conversation
    where chatbot_id = :chatbot_id and channel = 'widget' and external_user_id = :visitor_id and revision > :after
), changed_messages as (
    select revision, jsonb_build_object('id', id, 'role', role, 'content', content, 'status', status, 'reply_to', reply_to,
        'created_at', created_at) as message
    from message
    where conversation_id = (select id from conversation) and revision > :after and status <> 'PENDING'
    order by revision limit :batch
)
select revision as newest, (
    select coalesce(jsonb_agg(jsonb_build_array(revision, message) order by revision), '[]') from changed_messages) as changes
from conversation
