-- name: claim
-- The job, and its message with its media; nothing is loaded once the message is deleted.
select claimed_jobs.*, (select to_jsonb(context) from (
    select message.channel, message.chatbot_id,
        (select jsonb_agg(to_jsonb(media) order by media.position) from media where media.message_id = message.id) as media
    from message where message.id = claimed_jobs.message_id
) context) as loaded
from job_claim_v2('media-fetch', $1) as claimed_jobs

-- name: keep_failed(id, error)
update media set state = 'failed', error = :error where id = :id and state = 'waiting'

-- name: keep_stored(id, mime, filename, size, hash, storage_key)
update media set state = 'stored', mime = :mime, filename = :filename, size = :size, sha256 = :hash, storage_key = :storage_key,
    error = null
where id = :id and state = 'waiting'

-- name: finish
-- The message is answered now, if it may be. With a debounce a reply to a newer message that nobody has begun will see this one as
-- well.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, message_id bigint, may_answer boolean)
), messages as materialized (
    select input.*, message.conversation_id, chatbot.customer_id, customer.priority, answer_debounce_v1(chatbot.debounce_seconds,
        exists (select from media where media.message_id = message.id and media.kind in ('image', 'video'))) as debounce_seconds
    from input join message on message.id = input.message_id
        join chatbot on chatbot.id = message.chatbot_id join customer on customer.id = chatbot.customer_id
), newer_answers as materialized (
    select messages.n from messages join job on job.queue = 'ai-processing' and job.ordering_key = messages.conversation_id::text
        and job.closed_at is null and job.attempts = 0 and job.state in ('waiting', 'delayed')
        and job.message_id > messages.message_id
    where messages.debounce_seconds > 0
    for update of job
)
select jsonb_agg(n) as done, job_complete_v1('media-fetch', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(answer_job_v1(customer_id, priority, message_id, conversation_id, debounce_seconds) order by n)
        filter (where may_answer and n not in (select n from newer_answers)), '[]'), p_durable => false) as tickets
from messages having count(*) > 0

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
    select job.message_id, job.last_error, (job.payload ->> 'may_answer')::boolean as may_answer
    from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_media as (
    update media set state = 'failed', error = coalesce(error, dead_job.last_error) from dead_job
    where media.message_id = dead_job.message_id and media.state = 'waiting'
)
select job_close_failed_v1(:job_id, (
    select coalesce(jsonb_agg(answer_job_v1(customer.id, customer.priority, message.id, message.conversation_id,
        chatbot.debounce_seconds)), '[]')
    from dead_job join message on message.id = dead_job.message_id
        join chatbot on chatbot.id = message.chatbot_id join customer on customer.id = chatbot.customer_id
    where coalesce(dead_job.may_answer, true))) as tickets
