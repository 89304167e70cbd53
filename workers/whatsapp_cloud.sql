-- name: claim
-- The job, the reply that it is to send, and the number that it leaves from.
select (claimed.job).*, (select to_jsonb(reply) from (
    select claimed.status, message.external_id, coalesce(message.address, conversation.external_user_id) as recipient,
        -- A file, and its caption; what stands in the place of one does not leave.
        case when message.kind = 'media' and message.metadata ? 'unsupported' then '' else message.content end as content,
        case when message.kind = 'media' then (
            select jsonb_build_object('kind', kind, 'mime', mime, 'filename', filename, 'size', size, 'storage_key', storage_key)
            from media where message_id = message.id order by position limit 1) end as file,
        to_jsonb(account) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person, channel_health_v1('whatsapp_cloud', message.chatbot_id) as health,
        -- Of a reply that was written while the window was open. Whether it may be opened without one is for Meta to say.
        case when message.created_at < conversation.window_ends_at and not message.data ? 'template'
            then extract(epoch from conversation.window_ends_at - clock_timestamp()) end as window_left,
        claimed.has_moved, message.data,
        -- A free text after the 24 hours: the templates that may be sent instead.
        case when conversation.window_ends_at <= now() and not message.data ? 'template' then coalesce((
            select jsonb_agg(jsonb_build_object('name', name, 'language', language) order by name, language) from (
                select name, language from whatsapp_template where waba_id = account.waba_id and status = 'APPROVED'
                order by name, language limit 6) approved), '[]') end as instead
    from message join conversation on conversation.id = message.conversation_id
    left join whatsapp_cloud_account account on account.chatbot_id = message.chatbot_id and account.active
    where message.id = (claimed.job).message_id and message.role = 'assistant'
) reply) as loaded
from send_claim_v3('whatsapp-cloud-send', $1) claimed

-- name: refuse_late_text
-- A free text after the 24 hours is FAILED without a call and without an attempt.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, customer_id bigint,
        error text, error_code text)
), locked_messages as materialized ( -- in the order in which statuses go through them (delivery_status.sql)
    select id, conversation_id, chatbot_id, channel, reply_to from message
    where id = any (array(select message_id from input)) order by id for no key update
), failed_messages as materialized (
    select input.*, message.id, message.conversation_id, message.chatbot_id, message.channel, message.reply_to,
        message_set_status_v2(message.id, 'FAILED', input.error, p_metadata => jsonb_build_object('error_code', input.error_code)) as has_moved
    from input join locked_messages message on message.id = input.message_id
)
select jsonb_agg(n) as done, job_complete_v2('whatsapp-cloud-send', jsonb_object_agg(job_id, claim), '[]',
    coalesce(jsonb_agg(message_event_v2('message.failed', customer_id, chatbot_id, conversation_id, channel, id,
        jsonb_build_object('reply_to', reply_to, 'error', error, 'error_code', error_code)))
        filter (where has_moved), '[]')) as tickets
from failed_messages having count(*) > 0
