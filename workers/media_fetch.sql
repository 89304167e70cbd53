-- name: claim
-- The job, and its message with its media; nothing is loaded once the message is deleted.
select claimed_jobs.*, (select to_jsonb(context) from (
    select message.channel, message.chatbot_id, channel_health_v1(message.channel, message.chatbot_id) as health,
        (select jsonb_agg(to_jsonb(media) order by media.position) from media where media.message_id = message.id) as media
    from message where message.id = claimed_jobs.message_id
) context) as loaded
from job_claim_v3('media-fetch', $1) as claimed_jobs

-- name: keep_failed(id, error)
update media set state = 'failed', error = :error where id = :id and state = 'waiting'

-- name: keep_stored(id, mime, filename, size, hash, storage_key)
update media set state = 'stored', mime = :mime, filename = :filename, size = :size, sha256 = :hash, storage_key = :storage_key,
    error = null, source = '{}' -- which has keys, and words
where id = :id and state = 'waiting'
returning true

-- name: finish
-- The message's answer has waited for this.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint)
), answers as materialized (
    select answer_now_v1(message.conversation_id, input.job_id) as tickets
    from input join message on message.id = input.message_id
)
select jsonb_agg(n) as done, job_complete_v2('media-fetch', jsonb_object_agg(job_id, claim), '[]', p_durable => false)
    || (select coalesce(jsonb_agg(ticket), '[]') from answers, jsonb_array_elements(answers.tickets) ticket) as tickets
from input having count(*) > 0

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error)
-- The media that are still to be fetched keep the words of whoever did not give them; the job does not.
with failed_attempt as (
    select * from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), waiting_media as (
    update media set error = :customer_error from failed_attempt
    where media.message_id = failed_attempt.message_id and media.state = 'waiting'
)
select attempt, retry_in from failed_attempt

-- name: dead_letter(job_id)
-- What could not be fetched has failed. The message is answered all the same: politely, where nothing of it can be read.
with dead_job as materialized (
    select job.message_id, job.last_error from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_media as (
    update media set state = 'failed', error = coalesce(error, dead_job.last_error) from dead_job
    where media.message_id = dead_job.message_id and media.state = 'waiting'
)
select job_close_failed_v1(:job_id) || answer_now_v1(message.conversation_id, :job_id) as tickets
from (select (select message_id from dead_job) as id) unanswered left join message using (id) -- read before the job is closed
