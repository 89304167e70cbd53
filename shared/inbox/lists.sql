-- name: waiting(customer_id, chatbot_id, channel, after_at, after_id, limit)
-- Conversations that wait for a person, who waits longest first.
select conversation.id, conversation.handed_over_at as at
from chatbot join conversation on conversation.chatbot_id = chatbot.id
where chatbot.customer_id = :customer_id and (:chatbot_id::bigint is null or chatbot.id = :chatbot_id)
    and conversation.handed_over_at is not null and (:channel::text is null or conversation.channel = :channel)
    and (conversation.handed_over_at, conversation.id) > (:after_at::timestamptz, :after_id::bigint)
order by conversation.handed_over_at, conversation.id limit :limit

-- name: by_activity(customer_id, owners, user_id, chatbot_id, channel, before_at, before_id, limit)
-- Conversations in which somebody wrote last come first. Of each chatbot and owner the newest are read by the index, and merged.
select newest.id, newest.at
from chatbot cross join unnest(:owners::text[]) as wanted(owner) cross join lateral (
    select id, active_at as at from conversation
    where chatbot_id = chatbot.id and owner = wanted.owner and (:user_id::bigint is null or assigned_to = :user_id)
        and (:channel::text is null or channel = :channel)
        and (active_at, id) < (:before_at::timestamptz, :before_id::bigint)
    order by active_at desc, id desc limit :limit) newest
where chatbot.customer_id = :customer_id and (:chatbot_id::bigint is null or chatbot.id = :chatbot_id)
order by newest.at desc, newest.id desc limit :limit

-- name: search(customer_id, chatbot_id, channel, pattern, name_from, name_to, recent, limit)
-- By any part of a text in the conversations of late; by names and numbers of all time. No index serves texts: one on messages would
-- make each of them slower.
with chatbots as materialized (
    select id from chatbot where customer_id = :customer_id and (:chatbot_id::bigint is null or id = :chatbot_id)
), recent_conversations as materialized (
    select newest.id from chatbots cross join unnest('{bot,person,closed}'::text[]) as any_owner(owner) cross join lateral (
        select id, active_at from conversation where chatbot_id = chatbots.id and owner = any_owner.owner
        order by active_at desc, id desc limit :recent) newest
    order by newest.active_at desc limit :recent
), in_recent_texts as (
    select id from recent_conversations where exists (
        select from message where conversation_id = recent_conversations.id and content ilike :pattern)
    limit :limit
), by_name as (
    select conversation.id from contact join chatbots on chatbots.id = contact.chatbot_id
        join conversation on conversation.contact_id = contact.id
    where contact.name ilike :pattern limit :limit
), by_number as (
    select conversation.id from contact_identity identity join chatbots on chatbots.id = identity.chatbot_id
        join conversation on conversation.contact_id = identity.contact_id
    where :name_from::text is not null and identity.family = any (array(select distinct contact_family_v1(name) from channel))
        and identity.name >= :name_from and identity.name < :name_to limit :limit
)
select conversation.id, conversation.active_at as at from conversation
where conversation.id in (select id from in_recent_texts union select id from by_name union select id from by_number)
    and (:channel::text is null or conversation.channel = :channel)
order by conversation.active_at desc, conversation.id desc limit :limit

-- name: details(ids)
-- What a row of a list shows, in the order of the ids. Of a conversation that waits for a person that is what the customer wrote:
-- the bot's last words are the same in all of them, that it passes this on.
select conversation.id, chatbot.name as chatbot_name, conversation.channel, conversation.external_user_id,
    contact.name as contact_name, conversation.owner, conversation.handed_over_at, conversation.handover_reason,
    conversation.assigned_to, assignee.name as assignee_name,
    newest.role, newest.content, newest.status, newest.author, coalesce(newest.created_at, conversation.created_at) as at
from unnest(:ids::bigint[]) with ordinality as wanted(id, place)
    join conversation on conversation.id = wanted.id join chatbot on chatbot.id = conversation.chatbot_id
    left join contact on contact.id = conversation.contact_id left join app_user assignee on assignee.id = conversation.assigned_to
    left join lateral (
        select role, left(content, 200) as content, status, metadata ->> 'author' as author, created_at
        from message where conversation_id = conversation.id and kind <> 'system' and status <> 'SUPERSEDED'
            and (conversation.handed_over_at is null or role = 'user')
        order by id desc limit 1) newest on true
order by wanted.place

-- name: counts(customer_id, user_id, most)
-- How many conversations each list has, up to `most`.
with chatbots as materialized (select id from chatbot where customer_id = :customer_id)
select
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and handed_over_at is not null
        limit :most) waiting) as waiting,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'person'
        and assigned_to = :user_id limit :most) mine) as mine,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'person'
        limit :most) people) as people,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'bot'
        limit :most) bot) as bot,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'closed'
        limit :most) closed) as closed
