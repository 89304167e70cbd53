-- name: customers(days)
-- Those that do not keep messages for ever, and their days.
select id as customer_id, coalesce(keep_messages_days, :days) as days from customer
where coalesce(keep_messages_days, :days) > 0 order by id

-- name: old_conversations(customer_id, days, after, limit)
-- Conversations that began long ago, and whether their first message is that old.
select conversation.id, coalesce((
        select created_at < now() - make_interval(days => :days) from message where conversation_id = conversation.id
        order by id limit 1), false) as has_old_messages
from chatbot join conversation on conversation.chatbot_id = chatbot.id
where chatbot.customer_id = :customer_id and conversation.id > :after
    and conversation.created_at < now() - make_interval(days => :days)
order by conversation.id limit :limit

-- name: delete_messages(conversation_ids, days, batch)
-- Replies go with their question, files and questions without an answer with their message.
delete from message where id = any (array(
    select id from message where conversation_id = any (:conversation_ids::bigint[])
        and created_at < now() - make_interval(days => :days)
    order by id limit :batch))
returning id

-- name: merged(conversation_ids)
-- What has become a part of them.
select id, conversation_id from merged_conversation where conversation_id = any (:conversation_ids::bigint[])

-- name: delete_conversations(conversation_ids, days)
-- Those that are empty. Whoever saves a message into one at this moment has updated it before: then it stays, for it is new again.
-- One that somebody is at work on is left for the next time: whoever locks several does so in another order.
delete from conversation where id = any (array(
        select id from conversation where id = any (:conversation_ids::bigint[])
            and updated_at < now() - make_interval(days => :days) and created_at < now() - make_interval(days => :days)
        for update skip locked))
    and not exists (select from message where conversation_id = conversation.id)
returning id

-- name: delete_contacts(customer_id, days, after, batch)
-- Those who have no conversation any more.
with deleted_contacts as (
    delete from contact where id = any (array(
        select old_contact.id from chatbot, lateral (
            select id from contact
            where chatbot_id = chatbot.id and id > :after and updated_at < now() - make_interval(days => :days)
                and not exists (select from conversation where contact_id = contact.id)
            order by id limit :batch for update skip locked) old_contact
        where chatbot.customer_id = :customer_id order by old_contact.id limit :batch))
    returning id
)
select count(*) as rows, max(id) as last from deleted_contacts

-- name: delete_events(customer_id, days, after, batch)
-- What endpoints were told has the same words.
with oldest_events as materialized (
    select id, created_at from webhook_event where customer_id = :customer_id and id > :after order by id limit :batch
), deleted_events as (
    delete from webhook_event where id = any (array(
        select id from oldest_events where created_at < now() - make_interval(days => :days)))
    returning id
)
select count(*) as rows, max(id) as last from deleted_events

-- name: delete_answers(after, age, batch)
with deleted_answers as (
    delete from kept_answer where id = any (array(
        select id from kept_answer where created_at >= :after and created_at < now() - make_interval(secs => :age)
        order by created_at limit :batch))
    returning created_at
)
select count(*) as rows, max(created_at) as last from deleted_answers
