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

-- name: release_held(batch)
-- Events of endpoints that are not paused any more, oldest first; those behind first deliveries, for there may be many.
with recursive holding_endpoints(id) as ( -- from one to the next in the index, however many events each holds
    (select endpoint_id from webhook_event where held order by endpoint_id limit 1)
    union all
    select (select endpoint_id from webhook_event where held and endpoint_id > holding_endpoints.id order by endpoint_id limit 1)
    from holding_endpoints where holding_endpoints.id is not null
), held_events as materialized (
    select event.id from webhook_endpoint endpoint, lateral (
        select id from webhook_event where endpoint_id = endpoint.id and held order by id limit :batch for update skip locked
    ) event where endpoint.id in (select id from holding_endpoints) and not endpoint.paused limit :batch
), released_events as (
    update webhook_event set held = false where id = any (array(select id from held_events))
    returning delivery_job_v2(customer_id, id, 'first') || '{"priority": 7}' as job
)
select count(*) as events, job_add_v1(coalesce(jsonb_agg(job), '[]')) as tickets from released_events
