-- name: claim
-- The job, its event, and the endpoint that it goes to.
select claimed_jobs.*, (select to_jsonb(delivery) from (
    select event.id, event.endpoint_id, event.event, event.payload, event.status, event.attempts,
        endpoint.url, endpoint.secret, endpoint.active, endpoint.redelivery_schedule, endpoint.headers, endpoint.rate_limit,
        endpoint.paused, 
        case when endpoint.old_secret_until > now() then endpoint.old_secret || array(
            select secret from webhook_earlier_secret where endpoint_id = endpoint.id and until > now() order by until desc
        ) else '{}' end as old_secrets,
        to_char(event.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at,
        extract(epoch from clock_timestamp())::bigint as claimed_at
    from webhook_event event join webhook_endpoint endpoint on endpoint.id = event.endpoint_id
    where event.id = claimed_jobs.webhook_event_id
) delivery) as loaded
from job_claim_v3('webhook-delivery', $1) as claimed_jobs

-- name: record_delivery
-- The event is delivered, and its attempt has a row.
with input as materialized (
    select * from jsonb_to_recordset($1)
        as i(n integer, job_id bigint, claim integer, id bigint, number integer, trigger text, ms jsonb, seconds float8,
             response_status integer, answer text)
), delivered_events as (
    update webhook_event event set status = 'DELIVERED', attempts = input.number, response_status = input.response_status,
        error = null, delivered_at = clock_timestamp(), next_attempt_at = null
    from input where event.id = any (array(select id from input)) and event.id = input.id and event.status = 'PENDING'
    returning event.id, event.endpoint_id, event.customer_id, input.number, input.trigger, input.ms, input.seconds, input.answer,
        input.response_status
), new_attempts as (
    insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, ms, status, answer)
    select id, endpoint_id, customer_id, number, trigger, clock_timestamp() - make_interval(secs => seconds), ms, response_status,
        answer
    from delivered_events
), failing_endpoints as materialized ( -- another worker may be at it
    select id from webhook_endpoint where id = any (array(select endpoint_id from delivered_events)) and failing_since is not null
    for no key update skip locked
), healthy_endpoints as (
    update webhook_endpoint set failing_since = null, warned_at = null where id = any (array(select id from failing_endpoints))
)
select jsonb_agg(n) as done, job_complete_v2('webhook-delivery', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: drop_event
-- Of an endpoint that was switched off; one that was deleted took its events with it.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, webhook_event_id bigint)
), dropped_events as (
    update webhook_event event set status = 'FAILED', error = 'the endpoint was switched off', next_attempt_at = null
    from input where event.id = any (array(select webhook_event_id from input)) and event.id = input.webhook_event_id
        and event.status = 'PENDING'
)
select jsonb_agg(n) as done, job_complete_v2('webhook-delivery', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: hold_event
-- Its endpoint is paused: it waits without a job (shared/webhooks/redelivery.py).
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, webhook_event_id bigint)
), held_events as (
    update webhook_event event set held = true
    from input where event.id = any (array(select webhook_event_id from input)) and event.id = input.webhook_event_id
        and event.status = 'PENDING'
)
select jsonb_agg(n) as done, job_complete_v2('webhook-delivery', jsonb_object_agg(job_id, claim)) as tickets
from input

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown, customer_error, details)
-- The attempt has a row, with its error in the endpoint's words; the event has the last one's, and the job does not keep the words.
-- When the job has failed for good, the event learns when it is tried again; after a 410 only if its endpoint got another URL (see
-- dead_letter).
with failed_attempt as (
    select * from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)
), details as (
    select * from jsonb_to_record(:details::jsonb)
        as d(number integer, trigger text, ms jsonb, seconds float8, response_status integer, answer text, error_code text,
             schedule integer[], may_follow boolean, retry_after float8)
), next_step as materialized (
    select step.used, clock_timestamp() + make_interval(secs => step.seconds) as at
    from failed_attempt join webhook_event event on event.id = failed_attempt.webhook_event_id
        join webhook_endpoint endpoint on endpoint.id = event.endpoint_id,
        details, webhook_redelivery_v1(schedule, redeliveries, retry_after) step
    where retry_in is null and may_follow and (
        details.response_status is distinct from 410
        or endpoint.url_changed_at > clock_timestamp() - make_interval(secs => details.seconds + 5))
), failed_event as (
    update webhook_event event set attempts = number, error = :customer_error, response_status = details.response_status,
        next_attempt_at = next_step.at, redeliveries = coalesce(next_step.used, redeliveries)
    from failed_attempt cross join details left join next_step on true
    where event.id = failed_attempt.webhook_event_id and event.status = 'PENDING'
    returning event.id, event.endpoint_id, event.customer_id, event.next_attempt_at
), new_attempt as (
    insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, ms, status, answer, error_code,
                                 error, next_at)
    select id, endpoint_id, customer_id, number, trigger, clock_timestamp() - make_interval(secs => seconds), ms, response_status,
        answer, error_code, :customer_error, coalesce(clock_timestamp() + make_interval(secs => retry_in), next_attempt_at)
    from failed_event, failed_attempt, details
), failing_endpoint as (
    update webhook_endpoint set failing_since = clock_timestamp()
    from failed_event where webhook_endpoint.id = failed_event.endpoint_id and failing_since is null
)
select attempt, retry_in from failed_attempt

-- name: record_throttle(job_id, claim, error, wait, details)
-- The endpoint wants to be left alone for a while: an attempt that costs the job none.
with current_job as (
    select webhook_event_id from job where id = :job_id and claims = :claim and state = 'active'
), details as (
    select * from jsonb_to_record(:details::jsonb)
        as d(number integer, trigger text, ms jsonb, seconds float8, response_status integer, answer text, error_code text)
), throttled_event as (
    update webhook_event event set attempts = number, response_status = details.response_status
    from current_job, details where event.id = current_job.webhook_event_id and event.status = 'PENDING'
    returning event.id, event.endpoint_id, event.customer_id
)
insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, ms, status, answer, error_code, error,
                             next_at)
select throttled_event.*, number, trigger, clock_timestamp() - make_interval(secs => seconds), ms, response_status, answer,
    error_code, :error, clock_timestamp() + make_interval(secs => :wait)
from throttled_event, details
on conflict (event_id, number) do nothing

-- name: dead_letter(job_id)
-- An endpoint that says that it is gone for good (410) is switched off, and the business's other endpoints hear of it; `disabled_id`
-- is the one that was switched off just now. Not if it got another URL since the call, or in the 5 seconds before: a job reads the URL
-- up to some seconds before it calls.
with dead_job as materialized (
    select webhook_event_id, last_error from job where id = :job_id and state = 'failed' and closed_at is null
    for update of job -- an operator may requeue it at this moment
), failed_event as (
    update webhook_event set status = 'FAILED',
        error = case when starts_with(error, last_error) then error else last_error end
    from dead_job where webhook_event.id = dead_job.webhook_event_id and status = 'PENDING'
    returning webhook_event.id, attempts, endpoint_id, response_status
), gone_endpoint as materialized (
    select endpoint.id, endpoint.customer_id from failed_event
    join webhook_attempt attempt on attempt.event_id = failed_event.id and attempt.number = failed_event.attempts
    join webhook_endpoint endpoint on endpoint.id = failed_event.endpoint_id
    where response_status = 410 and not coalesce(endpoint.url_changed_at > attempt.started_at - interval '5 seconds', false)
    for no key update of endpoint
), disabled_endpoint as materialized (
    select id, customer_id, webhook_endpoint_disable_v1(id, 'gone') as tickets from gone_endpoint
)
select job_close_failed_v1(:job_id) || coalesce(disabled_endpoint.tickets, '[]') as tickets,
    disabled_endpoint.id as disabled_id, disabled_endpoint.customer_id
from (select count(*) from dead_job) locked -- both before it is closed
left join disabled_endpoint on disabled_endpoint.tickets is not null
