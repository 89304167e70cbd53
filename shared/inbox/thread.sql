-- name: conversation(customer_id, conversation_id)
-- One conversation of a customer's, also by the id of one that has become a part of it.
select conversation.id, conversation.chatbot_id, chatbot.name as chatbot_name, chatbot.knowledge_base_id, conversation.channel,
    conversation.external_user_id, conversation.created_at, conversation.contact_id, contact.name as contact_name, conversation.owner,
    conversation.handed_over_at, conversation.handover_reason, conversation.returns_at,
    coalesce(conversation.window_ends_at <= now(), false) as is_window_closed,
    case when conversation.owner = 'bot' and conversation.braked_until > now() then conversation.braked_until end as braked_until,
    conversation.assigned_to, assignee.name as assignee_name,
    -- Why nothing leaves through its channel at present; null: the channel can send.
    case when channel_is_down_v1(health.state) then coalesce(health.reason, '') end as channel_trouble,
    (select true from job where queue = 'ai-processing' and ordering_key = conversation.id::text and closed_at is null and not held)
        is not null and conversation.owner = 'bot' as is_writing
from conversation join chatbot on chatbot.id = conversation.chatbot_id
    left join contact on contact.id = conversation.contact_id left join app_user assignee on assignee.id = conversation.assigned_to
    left join channel_health health on health.chatbot_id = conversation.chatbot_id and health.channel = conversation.channel
where chatbot.customer_id = :customer_id and conversation.id = coalesce(
    (select conversation_id from merged_conversation where merged_conversation.id = :conversation_id), :conversation_id)

-- name: messages(conversation_id, before, limit)
-- Its messages, newest first, with what a bubble shows.
select id, role, kind, content, data, status, error, reply_to, sent_at, edited_at, revoked_at, created_at,
    metadata ->> 'author' as author, metadata ->> 'source' as source, metadata ->> 'error_code' as error_code,
    metadata ->> 'error_code' = 'outcome_unknown' or metadata ? 'may_have_arrived' as may_have_arrived,
    metadata ? 'parts_sent' as has_left_in_part,
    -- Not what the business wrote for a case: that a person comes, or that the bot cannot answer now.
    metadata ? 'provider' and not metadata ? 'tool' as is_models, metadata #>> '{tool,name}' = 'no_answer' as is_unknown,
    metadata ? 'fallback' as is_fallback, metadata ? 'unsupported' and edited_at is null and revoked_at is null as is_label,
    case when metadata ->> 'source' = 'desk' then idempotency_key end as form_key,
    (select left(question.content, 2000) from message question where question.id = message.reply_to) as question,
    case when message.status = 'FAILED' then (select again.id from message again
        where again.conversation_id = message.conversation_id and again.idempotency_key = 'retry-' || message.id) end as sent_again_as
from message where conversation_id = :conversation_id and id < :before
order by id desc limit :limit

-- name: contact(contact_id, conversation_id)
-- The person's names, and conversations on other channels.
select
    (select coalesce(jsonb_agg(jsonb_build_object('family', family, 'name', name) order by created_at, name), '[]')
     from contact_identity where contact_id = :contact_id and left_at is null) as identities,
    (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'channel', channel, 'active_at', active_at) order by active_at desc), '[]')
     from conversation where contact_id = :contact_id and id <> :conversation_id) as conversations
