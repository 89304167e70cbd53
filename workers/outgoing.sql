-- name: route_reply
-- A widget's reply is SENT here; any other goes to the send queue of its channel. A widget's status numbers its conversation
-- (widget_changed), so the conversations are locked first, in the order in which incoming-messages goes through them: two
-- processes never wait for each other. Under that lock it is decided whether the bot may still answer (reply_may_leave_v2); for
-- another channel its send stage decides.
with runnable_jobs as materialized (
    select * from job_lock_runnable_v2('outgoing-messages', $1)
), replies as materialized (
    select job.n, job.job_id, job.claim, job.attempt, job.customer_id, message.id as message_id, message.conversation_id,
        message.chatbot_id, message.channel, message.reply_to, message.created_at, message.status, message.kind, channel.send_queue
    from runnable_jobs job join message on message.id = (job.payload ->> 'message_id')::bigint
        join channel on channel.name = message.channel
    where message.id = any (array(select (payload ->> 'message_id')::bigint from runnable_jobs)) -- by the index, as in job_claim_v3
        and message.role = 'assistant' and (channel.send_queue is not null or message.status in ('PENDING', 'SENT', 'SUPERSEDED'))
), locked_conversations as materialized (
    select id, owner, owner_since, handed_over_at from conversation
    where id = any (array(select conversation_id from replies where send_queue is null))
    order by chatbot_id, channel, external_user_id for no key update
), decided_replies as materialized (
    select replies.*, send_queue is null and status <> 'SUPERSEDED' -- it may answer nothing any more, and another one does
        and reply_may_leave_v2(reply_to, created_at, owner, owner_since, handed_over_at) as is_shown
    from replies left join locked_conversations on locked_conversations.id = replies.conversation_id
    where send_queue is not null or locked_conversations.id is not null -- else it was merged into another at this moment
), changed_replies as materialized (
    select message_set_status_v2(message_id, case when is_shown then 'SENT' else 'SUPERSEDED' end, p_attempts => attempt) as has_changed
    from decided_replies where send_queue is null
)
select jsonb_agg(n) as done, jsonb_object_agg(n, message_id) as messages,
    jsonb_object_agg(n, customer_id) as customers, job_complete_v2(
    'outgoing-messages', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(send_job_v1(send_queue, customer_id, message_id, conversation_id))
        filter (where send_queue is not null), '[]'),
    coalesce(jsonb_agg(message_event_v2('message.sent', customer_id, chatbot_id, conversation_id, channel, message_id,
        jsonb_build_object('reply_to', reply_to) || case when kind = 'text' then '{}' else jsonb_build_object('kind', kind) end))
        filter (where is_shown), '[]'),
    p_durable => bool_or(send_queue is null)) as tickets
from decided_replies, (select count(has_changed) from changed_replies) changed having count(*) > 0
