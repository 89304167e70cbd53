-- name: redeliver_due(batch)
-- now(), not clock_timestamp(): only what is stable for a statement bounds an index scan.
with due_events as materialized (
    select id from webhook_event where next_attempt_at <= now() and status = 'FAILED'
    order by next_attempt_at limit :batch for update skip locked
), pending_events as (
    update webhook_event set status = 'PENDING', next_attempt_at = null where id = any (array(select id from due_events))
    returning delivery_job_v2(customer_id, id, 'automatic') as job
)
select count(*) as events, job_add_v1(coalesce(jsonb_agg(job), '[]')) as tickets from pending_events
