-- What delivers an event again goes behind everything else.
alter table job
    drop constraint job_priority_check,
    add constraint job_priority_check check (priority in (1, 3, 5, 7));

alter table webhook_endpoint
    -- Seconds between the attempts at an event that failed. Null: WEBHOOK_REDELIVERY_SCHEDULE; empty: it is not tried again.
    add column redelivery_schedule integer[]
        check (cardinality(redelivery_schedule) <= 20 and 0 < all (redelivery_schedule) and 604800 >= all (redelivery_schedule));

alter table webhook_event
    -- When an event that failed is tried again; a job that delivers it is written then. Null: not by itself.
    add column next_attempt_at timestamptz,
    -- Steps of the redelivery schedule that are used up.
    add column redeliveries smallint not null default 0 check (redeliveries >= 0),
    add check (next_attempt_at is null or status <> 'DELIVERED');
create index webhook_event_due_idx on webhook_event (next_attempt_at) where next_attempt_at is not null;

-- When an event is tried again that failed: by its endpoint's schedule (seconds), of which `p_used` steps are used up, 10 % earlier or
-- later; or when the endpoint wants it (Retry-After), if that is later, and within the schedule. The steps that such a wait skips are
-- used up as well. No row: not again.
create function webhook_redelivery_v1(p_schedule integer[], p_used integer, p_retry_after float8)
returns table (used integer, seconds float8) language sql volatile rows 1 as $$
    with steps as (
        select step, delay, sum(delay) over (order by step) as until
        from unnest(p_schedule) with ordinality as schedule(delay, step) where step > p_used
    ), asked as (
        select least(greatest(p_retry_after, 0), max(until)) as wait from steps
    )
    select min(step) filter (where until >= wait)::integer, greatest(max(wait), (array_agg(delay order by step))[1] * (0.9 + random() / 5))
    from steps, asked having count(*) > 0
$$;

-- An event -> webhook-delivery. `p_trigger`: shared/webhooks/triggers.py. What nobody waits for goes behind first deliveries (priority 7).
create function delivery_job_v2(p_customer_id bigint, p_webhook_event_id bigint, p_trigger text) returns jsonb
language sql stable as $$
    select delivery_job_v1(p_customer_id, p_webhook_event_id) || jsonb_build_object(
        'priority', case when p_trigger in ('automatic', 'bulk') then 7 else 5 end,
        'payload', jsonb_build_object('webhook_event_id', p_webhook_event_id, 'trigger', p_trigger))
$$;
