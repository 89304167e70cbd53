-- name: by_provider_id(text, hits)
-- A message that came with this id is found by the index that recognises it, of each chatbot and channel.
select 'message' as kind, found.id, found.id as message_id, null as label, array[found.role] as codes, found.created_at as at
from (
    select id, role, created_at from message where role = 'assistant' and external_id = :text
    union all
    select message.id, message.role, message.created_at
    from chatbot cross join channel cross join lateral (
        select id, role, created_at from message
        where chatbot_id = chatbot.id and message.channel = channel.name and external_id = :text and role = 'user'
        union all
        select id, role, created_at from message
        where chatbot_id = chatbot.id and message.channel = channel.name and external_id = :text and role = 'agent') message
) found limit :hits

-- name: accepted_by_provider_id(text, hits)
-- What came with this id and is not stored: its job waits, or has failed. By the index that recognises it when it comes again.
select 'job' as kind, job.id, job.message_id, null as label, array[job.queue, job.state] as codes, job.created_at as at
from chatbot cross join channel
join job on job.dedup_key = md5(jsonb_build_array(chatbot.id, channel.name, :text::text)::text)
where not exists (select from message where message.id = job.message_id)
limit :hits

-- name: by_address(addresses, numbers, hits)
-- The conversations of whoever is known by one of these, or on WhatsApp by one of these phone numbers, each with its newest message.
with known_conversations as (
    (select conversation.id
    from chatbot cross join channel cross join unnest(:addresses::text[]) address
    join conversation on conversation.chatbot_id = chatbot.id and conversation.channel = channel.name
        and conversation.external_user_id = address
    limit :hits)
    union
    (select conversation.id
    from chatbot cross join unnest(:numbers::text[]) number
    join contact_identity identity on identity.chatbot_id = chatbot.id and identity.family = 'whatsapp' and identity.name = number
    join conversation on conversation.contact_id = identity.contact_id
    limit :hits)
)
select 'conversation' as kind, conversation.id, newest.id as message_id,
    concat_ws(' · ', customer.name, chatbot.name) as label, array[conversation.channel] as codes, conversation.updated_at as at
from known_conversations join conversation using (id) join chatbot on chatbot.id = conversation.chatbot_id
    join customer on customer.id = chatbot.customer_id
left join lateral (select id from message where conversation_id = conversation.id order by id desc limit 1) newest on true
limit :hits

-- name: by_customer_name(text, hits)
select 'customer' as kind, id, null::bigint as message_id, name as label, array[]::text[] as codes, created_at as at
from customer where strpos(lower(name), lower(:text)) > 0 order by name limit :hits
