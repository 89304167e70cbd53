-- name: waiting(customer_id, endpoint_id, most)
-- Deliveries of an endpoint that wait behind first ones, as far as it matters.
select count(*) from (
    select from job join webhook_event event on event.id = job.webhook_event_id
    where job.queue = 'webhook-delivery' and job.customer_id = :customer_id and job.closed_at is null and job.priority = 7
        and event.endpoint_id = :endpoint_id
    limit :most) waiting_jobs

-- name: recover(endpoint_id, since, until, begun, status, after, limit, page)
-- The next page of the endpoint's events; those that are meant are delivered again. `changed`: somebody was quicker. The position is
-- null at the end: where all events are newer than the recovery, for new ones never cease.
with page_events as materialized (
    select id, status, created_at from webhook_event where endpoint_id = :endpoint_id and id > :after order by id limit :page
), meant_events as materialized (
    select id from page_events
    where status = :status and created_at between :since::timestamptz and least(:until::timestamptz, :begun) order by id limit :limit
), unchanged_events as materialized (
    select id from webhook_event where id = any (array(select id from meant_events)) and status = :status order by id for update
), pending_events as (
    update webhook_event set status = 'PENDING', delivered_at = null, error = null, response_status = null, next_attempt_at = null,
        redeliveries = 0
    where id = any (array(select id from unchanged_events))
    returning delivery_job_v2(customer_id, id, 'bulk') as job
)
select
    case when (select count(*) from meant_events) = :limit then (select max(id) from meant_events)
         when exists (select from page_events where created_at <= :begun) then (select max(id) from page_events) end as position,
    count(*) as recovered, (select count(*) from meant_events) - count(*) as changed,
    job_add_v1(coalesce(jsonb_agg(job), '[]')) as tickets
from pending_events
