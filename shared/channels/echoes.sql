-- name: is_known(chatbot_id, channel, external_id)
-- By the id that the gateway answered with, or because it was reported before.
select exists (select from message where external_id = :external_id and role = 'assistant' and chatbot_id = :chatbot_id)
    or exists (select from message where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id
                   and role = 'agent')

-- name: sends_under_way(job_id, chatbot_id, external_user_id, look_back, latest)
-- Those that had begun when the report came, and whose answer is not recorded; those that a worker died with, until their end and,
-- where a person took over, after it; and, for an hour, those whose answer named no id, or that were tried more than once: the gateway may
-- have sent each time. But none that failed and has certainly not left: a colleague who sees that may write its words. `is_to_chat`: to
-- whom the report names; null: nobody has a conversation of that name. `is_open`: an answer may still come.
with chats as materialized (
    select id from conversation
    where chatbot_id = :chatbot_id and channel = 'whatsapp_qr' and external_user_id = :external_user_id
    union
    select conversation.id from contact_identity identity
    join conversation on conversation.contact_id = identity.contact_id and conversation.channel = 'whatsapp_qr'
    where identity.chatbot_id = :chatbot_id and identity.family = contact_family_v1('whatsapp_qr')
        and identity.name = contact_name_v1('whatsapp_qr', :external_user_id)
), sends as (
    select send.message_id, true as is_open
    from job report join job send on send.customer_id = report.customer_id and send.queue = 'whatsapp-qr-send'
        and send.closed_at is null
        and (send.state = 'active' and send.started_at <= report.created_at or send.outcome_unknown_since is not null)
    join message on message.id = send.message_id and message.external_id is null
    where report.id = :job_id
    union
    select send.message_id, send.closed_at is null
    from message join job send on send.message_id = message.id and send.queue = 'whatsapp-qr-send'
        and send.outcome_unknown_since is not null
    where message.conversation_id = any (array(select id from chats)) and message.status = 'SUPERSEDED' and message.external_id is null
    union
    select latest.id, false
    from chats cross join lateral (
        select * from message where conversation_id = chats.id order by id desc limit :latest) latest
    where role = 'assistant' and status <> 'SUPERSEDED' and updated_at > now() - make_interval(secs => :look_back)
        and case status
            when 'FAILED' then metadata ->> 'error_code' in ('provider_failed', 'outcome_unknown') or metadata ? 'may_have_arrived'
            else metadata ? 'last_error' or external_id is null and status <> 'PENDING' end
)
select message.id, message.content, message.metadata ? 'source' as by_person, sends.is_open,
    case when exists (select from chats) then message.conversation_id in (select id from chats) end as is_to_chat
from sends join message on message.id = sends.message_id and message.chatbot_id = :chatbot_id

-- name: keep_id(message_id, external_id)
-- Of a reply that was taken without one: later reports name it.
update message set external_id = :external_id where id = :message_id and role = 'assistant' and external_id is null returning id
