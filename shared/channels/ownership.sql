-- name: lock(conversation_id)
select id from conversation where id = :conversation_id for no key update

-- name: merged_into(conversation_id)
select conversation_id from merged_conversation where id = :conversation_id

-- name: conversation_of(chatbot_id, channel, external_user_id)
-- The person's, by whichever of their names; a new one if there is none, with the tickets of the event that tells of it.
with known_conversations as materialized (
    select id, 1 as rank from conversation
    where chatbot_id = :chatbot_id and channel = :channel and external_user_id = :external_user_id
    union all
    select conversation.id, 2 from contact_identity identity
    join conversation on conversation.contact_id = identity.contact_id and conversation.channel = :channel
    where identity.chatbot_id = :chatbot_id and identity.family = contact_family_v1(:channel)
        and identity.name = contact_name_v1(:channel, :external_user_id)
), new_conversations as (
    insert into conversation (chatbot_id, channel, external_user_id)
    select :chatbot_id, :channel, :external_user_id where not exists (select from known_conversations)
    on conflict (chatbot_id, channel, external_user_id) do update set updated_at = clock_timestamp()
    returning id, created_at = now() as is_new
)
select found.id, is_new, case when is_new then (
    select webhook_emit(jsonb_build_array(conversation_event_v1('conversation.opened', customer_id, chatbot.id, found.id, :channel,
        :external_user_id, jsonb_build_object('is_new', true))))
    from chatbot where chatbot.id = :chatbot_id) else '[]' end as tickets
from (select id, rank, false as is_new from known_conversations union all select id, 3, is_new from new_conversations) found
order by rank limit 1

-- name: show_silence(conversation_id, owner)
-- An open page of the widget is told once more of what its visitor wrote last, as a change, if in this transaction the conversation
-- leaves the bot or comes back to it: whether the bot answers that says whether anybody is typing.
with changed_conversations as (
    update conversation set revision = revision + 1
    where id = :conversation_id and channel = 'widget' and (owner = 'bot') <> (:owner = 'bot')
    returning id, revision, chatbot_id, external_user_id
), newest_questions as (
    update message set revision = changed_conversations.revision from changed_conversations
    where message.id = (select id from message where conversation_id = :conversation_id and role = 'user' order by id desc limit 1)
)
select pg_notify('widget', md5(chatbot_id || ':' || external_user_id)) from changed_conversations

-- name: end_brake(conversation_id)
-- The bot is silent no longer, for somebody has looked. No brakes beside a time: replies from before that time are no reason for
-- another one (workers/ai.sql).
update conversation set braked_until = clock_timestamp(), brakes = 0
where id = :conversation_id and braked_until > clock_timestamp()
returning true

-- name: answer_again(conversation_id, by, answer_within)
-- The bot, whose conversation it was, answers what the customer wrote last, and the business hears of it, as when it is given back.
select job_follow_up(question_jobs_v1(conversation.id, :answer_within), jsonb_build_array(owner_event_v1('conversation.returned',
    chatbot.customer_id, chatbot.id, conversation.id, conversation.channel, conversation.external_user_id, 'bot', :by)))
from conversation join chatbot on chatbot.id = conversation.chatbot_id
where conversation.id = :conversation_id
