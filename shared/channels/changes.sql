-- name: change_message(chatbot_id, channel, external_user_id, external_id, content, data, sent_at)
select message_change_v2(:chatbot_id, :channel, :external_user_id, :external_id, :content, :data, :sent_at) as change

-- name: react(chatbot_id, channel, external_id, emoji)
-- The last reaction counts; none takes it back. A part for each role, which has its own index.
with reacted as (
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'assistant'
    union all
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'user'
    union all
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'agent'
)
update message set updated_at = clock_timestamp(),
    data = case when :emoji::text = '' then data - 'reaction' else data || jsonb_build_object('reaction', :emoji::text) end
from reacted where message.id = reacted.id
returning message.id
