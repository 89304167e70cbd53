-- name: claim
-- The job, its event, and the endpoint that it goes to.
select claimed_jobs.*, (select to_jsonb(delivery) from (
    select event.id, event.endpoint_id, event.event, event.payload, event.status, endpoint.url, endpoint.secret, endpoint.active,
        to_char(event.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at
    from webhook_event event join webhook_endpoint endpoint on endpoint.id = event.endpoint_id
    where event.id = claimed_jobs.webhook_event_id
) delivery) as loaded
from job_claim_v2('webhook-delivery', $1) as claimed_jobs

-- name: record_delivery
with input as materialized (
    select * from jsonb_to_recordset($1)
        as i(n integer, job_id bigint, claim integer, id bigint, attempt integer, response_status integer)
), delivered_events as (
    update webhook_event event set status = 'DELIVERED', attempts = input.attempt, response_status = input.response_status,
        error = null, delivered_at = clock_timestamp()
    from input where event.id = any (array(select id from input)) and event.id = input.id and event.status = 'PENDING'
)
select jsonb_agg(n) as done, job_complete_v1('webhook-delivery', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: drop_event
-- Of an endpoint that was switched off; one that was deleted took its events with it.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, webhook_event_id bigint)
), dropped_events as (
    update webhook_event event set status = 'FAILED', error = 'the endpoint was switched off'
    from input where event.id = any (array(select webhook_event_id from input)) and event.id = input.webhook_event_id
        and event.status = 'PENDING'
)
select jsonb_agg(n) as done, job_complete_v1('webhook-delivery', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error, details)
-- The attempt, its error with the endpoint's words, and its HTTP status are kept on the event; the job does not keep the words.
with failed_attempt as (
    select * from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), failed_event as (
    update webhook_event set attempts = failed_attempt.attempt, error = :customer_error,
        response_status = (:details::jsonb ->> 'response_status')::integer
    from failed_attempt where webhook_event.id = failed_attempt.webhook_event_id and status = 'PENDING'
)
select attempt, retry_in from failed_attempt

-- name: dead_letter(job_id)
with dead_job as materialized (
    select webhook_event_id, last_error from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_event as (
    update webhook_event set status = 'FAILED',
        error = case when starts_with(error, last_error) then error else last_error end
    from dead_job where webhook_event.id = dead_job.webhook_event_id and status = 'PENDING'
)
select job_close_failed_v1(:job_id) as tickets
from (select count(*) from dead_job) locked -- before it is closed
