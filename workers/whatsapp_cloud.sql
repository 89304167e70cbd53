-- name: claim
-- The job, the reply that it is to send, and the number that it leaves from.
with locked_conversations as materialized (
    -- Whoever takes over does so before this statement, or after it. In the order in which incoming-messages goes through them.
    select id, owner, owner_since, handed_over_at from conversation where id = any (array(
        select conversation_id from message where id = any (array(select message_id from job where id = any (array(
            select (item ->> 'job_id')::bigint from jsonb_array_elements($1) item))))))
    order by chatbot_id, channel, external_user_id for no key update
), claimed_jobs as materialized (
    select claimed.* from (select count(*) from locked_conversations) locked, job_claim_v2('whatsapp-cloud-send', $1) claimed
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
        to_jsonb(account) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person, channel_health_v1('whatsapp_cloud', message.chatbot_id) as health,
        -- Of a reply that was written while the window was open. Whether it may be opened without one is for Meta to say.
        case when message.created_at < conversation.window_ends_at and not message.data ? 'template'
            then extract(epoch from conversation.window_ends_at - clock_timestamp()) end as window_left,
        -- It was merged into another at this moment.
        message.conversation_id not in (select id from locked_conversations) as has_moved, message.data,
        -- A free text after the 24 hours: the templates that may be sent instead.
        case when conversation.window_ends_at <= now() and not message.data ? 'template' then coalesce((
            select jsonb_agg(jsonb_build_object('name', name, 'language', language) order by name, language) from (
                select name, language from whatsapp_template where waba_id = account.waba_id and status = 'APPROVED'
                order by name, language limit 6) approved), '[]') end as instead
    from message join conversation on conversation.id = message.conversation_id
    left join whatsapp_cloud_account account on account.chatbot_id = message.chatbot_id and account.active
    where message.id = claimed_jobs.message_id and message.role = 'assistant'
) reply) as loaded
from claimed_jobs

-- name: refuse_late_text
-- A free text after the 24 hours is FAILED without a call and without an attempt.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, customer_id bigint,
        error text, error_code text)
), locked_messages as materialized ( -- in the order in which statuses go through them (delivery_status.sql)
    select id, conversation_id, channel, reply_to from message
    where id = any (array(select message_id from input)) order by id for no key update
), failed_messages as materialized (
    select input.*, message.id, message.conversation_id, message.channel, message.reply_to, message_set_status_v2(
        message.id, 'FAILED', input.error, p_metadata => jsonb_build_object('error_code', input.error_code)) as has_moved
    from input join locked_messages message on message.id = input.message_id
)
select jsonb_agg(n) as done, job_complete_v1('whatsapp-cloud-send', jsonb_object_agg(job_id, claim), '[]',
    coalesce(jsonb_agg(message_event_v1('message.failed', customer_id, id, conversation_id, channel, reply_to,
        jsonb_build_object('error', error, 'error_code', error_code))) filter (where has_moved), '[]')) as tickets
from failed_messages having count(*) > 0
