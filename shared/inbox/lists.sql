-- Test chats of the desk (is_test) are no customers, and in none of these lists.

-- name: waiting(customer_id, chatbot_id, channel, after_at, after_id, limit)
-- Conversations that wait for a person, who waits longest first.
select conversation.id, conversation.handed_over_at as at
from chatbot join conversation on conversation.chatbot_id = chatbot.id
where chatbot.customer_id = :customer_id and (:chatbot_id::bigint is null or chatbot.id = :chatbot_id)
    and conversation.handed_over_at is not null and not conversation.is_test
    and (:channel::text is null or conversation.channel = :channel)
    and (conversation.handed_over_at, conversation.id) > (:after_at::timestamptz, :after_id::bigint)
order by conversation.handed_over_at, conversation.id limit :limit

-- name: by_activity(customer_id, owners, user_id, chatbot_id, channel, before_at, before_id, limit)
-- Conversations in which somebody wrote last come first. Of each chatbot and owner the newest are read by the index, and merged.
select newest.id, newest.at
from chatbot cross join unnest(:owners::text[]) as wanted(owner) cross join lateral (
    select id, active_at as at from conversation
    where chatbot_id = chatbot.id and owner = wanted.owner and not is_test and (:user_id::bigint is null or assigned_to = :user_id)
        and (:channel::text is null or channel = :channel)
        and (active_at, id) < (:before_at::timestamptz, :before_id::bigint)
    order by active_at desc, id desc limit :limit) newest
where chatbot.customer_id = :customer_id and (:chatbot_id::bigint is null or chatbot.id = :chatbot_id)
order by newest.at desc, newest.id desc limit :limit

-- name: by_name(customer_id, chatbot_id, channel, pattern, names_from, names_to, most, before_at, before_id, limit)
-- Conversations with those who have this in their name, or whose number or id is in one of the ranges, of all time. Of more than
-- `most` people, so many: nobody looks through thousands of them, and another letter or digit says who is meant.
with chatbots as materialized (
    select id from chatbot where customer_id = :customer_id and (:chatbot_id::bigint is null or id = :chatbot_id)
), contacts as (
    (select contact.id from contact join chatbots on chatbots.id = contact.chatbot_id where contact.name ilike :pattern limit :most)
    union
    (select identity.contact_id
    from chatbots cross join unnest(:names_from::text[], :names_to::text[]) as range(begins, ends) cross join lateral (
        select contact_id from contact_identity
        where chatbot_id = chatbots.id and family = any (array(select distinct contact_family_v1(name) from channel))
            and name >= range.begins and name < range.ends limit :most) identity
    limit :most)
)
select conversation.id, conversation.active_at as at from contacts join conversation on conversation.contact_id = contacts.id
where not conversation.is_test and (:channel::text is null or conversation.channel = :channel)
    and (conversation.active_at, conversation.id) < (:before_at::timestamptz, :before_id::bigint)
order by conversation.active_at desc, conversation.id desc limit :limit

-- name: by_text(ids, pattern, names_from, names_to)
-- Those of these conversations in which somebody wrote it, without those that by_name finds. No index serves texts: one on messages
-- would make each of them slower, so a search goes back in time, some conversations at once.
select conversation.id, conversation.active_at as at
from unnest(:ids::bigint[]) with ordinality as wanted(id, place) join conversation on conversation.id = wanted.id
    left join contact on contact.id = conversation.contact_id
where exists (select from message where conversation_id = wanted.id and content ilike :pattern)
    and (contact.name is null or contact.name not ilike :pattern)
    and not exists (
        select from contact_identity identity
            join unnest(:names_from::text[], :names_to::text[]) as range(begins, ends)
                on identity.name >= range.begins and identity.name < range.ends
        where identity.contact_id = contact.id)
order by wanted.place

-- name: details(ids)
-- What a row of a list shows, in the order of the ids. Of a conversation that waits for a person that is what the customer wrote:
-- the bot's last words are the same in all of them, that it passes this on.
select conversation.id, chatbot.name as chatbot_name, conversation.channel, conversation.external_user_id,
    contact.name as contact_name, conversation.owner, conversation.handed_over_at, conversation.handover_reason,
    coalesce(conversation.owner = 'bot' and conversation.braked_until > now(), false) as is_braked,
    conversation.assigned_to, assignee.name as assignee_name,
    newest.role, newest.content, newest.status, newest.author, coalesce(newest.created_at, conversation.created_at) as at
from unnest(:ids::bigint[]) with ordinality as wanted(id, place)
    join conversation on conversation.id = wanted.id join chatbot on chatbot.id = conversation.chatbot_id
    left join contact on contact.id = conversation.contact_id left join app_user assignee on assignee.id = conversation.assigned_to
    left join lateral (
        -- What a person wrote at the desk, or a business's server by the API, has a source; what the bot wrote has none.
        select case when role = 'assistant' and metadata ? 'source' then 'agent' else role end as role,
            left(content, 200) as content, status, metadata ->> 'author' as author, created_at
        from message where conversation_id = conversation.id and status <> 'SUPERSEDED'
            and (conversation.handed_over_at is null or role = 'user')
        order by id desc limit 1) newest on true
order by wanted.place

-- name: counts(customer_id, user_id, most)
-- How many conversations each list has, up to `most`.
with chatbots as materialized (select id from chatbot where customer_id = :customer_id)
select
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and handed_over_at is not null
        and not is_test limit :most) waiting) as waiting,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'person'
        and assigned_to = :user_id and not is_test limit :most) mine) as mine,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'person'
        and not is_test limit :most) people) as people,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'bot'
        and not is_test limit :most) bot) as bot,
    (select count(*) from (select from conversation where chatbot_id in (select id from chatbots) and owner = 'closed'
        and not is_test limit :most) closed) as closed
