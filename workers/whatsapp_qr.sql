-- name: claim
-- The job, the reply that it is to send, and the session that it leaves from.
with locked_conversations as materialized (
    -- Whoever takes over does so before this statement, or after it. In the order in which incoming-messages goes through them.
    select id, owner, owner_since, handed_over_at from conversation where id = any (array(
        select conversation_id from message where id = any (array(select message_id from job where id = any (array(
            select (item ->> 'job_id')::bigint from jsonb_array_elements($1) item))))))
    order by chatbot_id, channel, external_user_id for no key update
), claimed_jobs as materialized (
    select claimed.* from (select count(*) from locked_conversations) locked, job_claim_v2('whatsapp-qr-send', $1) claimed
), superseded_replies as materialized (
    select message.id from message join locked_conversations on locked_conversations.id = message.conversation_id
    where message.id = any (array(select message_id from claimed_jobs)) and message.status = 'PENDING'
        and not reply_may_leave_v1(message.reply_to, message.created_at, owner, owner_since, handed_over_at)
), kept_replies as (
    -- Whoever took over may have said so already.
    update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
    where id = any (array(select id from superseded_replies)) and status = 'PENDING'
)
select claimed_jobs.*, (select to_jsonb(reply) from (
    select message.content,
        case when message.id in (select id from superseded_replies) then 'SUPERSEDED' else message.status end as status,
        message.external_id, coalesce(message.address, conversation.external_user_id) as recipient,
        to_jsonb(session) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person, message.data, channel_health_v1('whatsapp_qr', message.chatbot_id) as health,
        -- It was merged into another at this moment.
        message.conversation_id not in (select id from locked_conversations) as has_moved
    from message join conversation on conversation.id = message.conversation_id
    left join whatsapp_qr_session session on session.chatbot_id = message.chatbot_id and session.active
    where message.id = claimed_jobs.message_id and message.role = 'assistant'
) reply) as loaded
from claimed_jobs
