-- What the stages that deliver replies write of those that fail, whatever their channel.

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error, error_code)
-- The attempt is counted on the reply as well, which keeps the provider's words and our code for them; the job does not.
with failed_attempt as (
    select * from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), failed_message as (
    update message set attempts = failed_attempt.attempt, error = :customer_error, updated_at = clock_timestamp(),
        metadata = metadata || jsonb_build_object(
            'attempts', failed_attempt.attempt, 'last_error', :customer_error::text, 'error_code', :error_code::text)
    from failed_attempt where message.id = failed_attempt.message_id and role = 'assistant'
)
select attempt, retry_in from failed_attempt

-- name: dead_letter(job_id)
-- The reply is FAILED, unless a status says that it arrived, and its customer's endpoints hear of it.
with dead_job as materialized (
    select customer_id, message_id, last_error, outcome_unknown_since is not null as may_have_arrived from job
    where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), widget_conversation as materialized ( -- which a reply's status numbers (widget_changed): everybody locks it before its messages
    select id from conversation where channel = 'widget' and id = (
        select conversation_id from message where id = (select message_id from dead_job)) for no key update
), failed_message as materialized (
    select dead_job.customer_id, reason.text as error, reason.code, message.id, message.conversation_id, message.chatbot_id,
        message.channel, message.reply_to, message_set_status_v2(
            message.id, 'FAILED', reason.text, p_metadata => jsonb_build_object('error_code', reason.code)
                || case when may_have_arrived then jsonb_build_object('may_have_arrived', true) else '{}' end) as has_moved
    from (select count(*) from widget_conversation) locked, dead_job join message on message.id = dead_job.message_id,
        -- With the provider's words and our code, where they are those of this failure.
        lateral (select
            case when starts_with(message.error, last_error) then message.error else last_error end as text,
            case when starts_with(message.error, last_error) then metadata ->> 'error_code' end as code) failure,
        -- A worker died at an earlier send, or its answer was lost; a long reply leaves in parts. What it failed for in the end says
        -- nothing of that.
        lateral (select code, concat(text,
            case when may_have_arrived and code is distinct from 'outcome_unknown' then '; an earlier send may have arrived' end,
            case when metadata ? 'parts_sent' then '; a part of it has left' end) as text) reason
)
select job_close_failed_v1(:job_id, '[]', (
    select coalesce(jsonb_agg(message_event_v2('message.failed', customer_id, chatbot_id, conversation_id, channel, id,
        jsonb_build_object('reply_to', reply_to, 'error', error, 'error_code', code))), '[]')
    from failed_message where has_moved)) as tickets
