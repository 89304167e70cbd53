-- name: queue_depths
select queue,
    count(*) filter (where state = 'waiting' and not held) as ready,
    count(*) filter (where state = 'active') as active,
    count(*) filter (where state = 'delayed' and not held and waits_for is null) as delayed,
    count(*) filter (where held) as held,
    count(*) filter (where state = 'delayed' and not held and waits_for is not null) as parked,
    -- Of those that nothing keeps from running.
    max(extract(epoch from clock_timestamp() - greatest(created_at, coalesce(run_at, created_at))))
        filter (where not held and waits_for is null and state <> 'failed' and (state <> 'delayed' or run_at <= clock_timestamp()))::float8 as oldest,
    -- Of those that wait for others, or for somebody.
    max(extract(epoch from clock_timestamp() - created_at))
        filter (where (held or waits_for is not null) and state <> 'failed')::float8 as oldest_held
from job where closed_at is null and id > 0 group by queue

-- name: tenants(limit)
select open_jobs.customer_id, customer.name, open_jobs.count, open_jobs.held, open_jobs.oldest_at
from (
    select customer_id, count(*) as count, count(*) filter (where held or waits_for is not null) as held, min(created_at) as oldest_at
    from job where closed_at is null and id > 0 and customer_id is not null
    group by customer_id order by count(*) desc, customer_id limit :limit
) open_jobs join customer on customer.id = open_jobs.customer_id
order by open_jobs.count desc, customer_id

-- name: throughput(bars, queue)
select bar.begins, coalesce(sum(completed), 0)::integer as completed, coalesce(sum(failed), 0)::integer as failed,
    (sum(wait_seconds) / nullif(sum(completed + failed), 0))::float8 as mean_wait, max(longest_wait)::float8 as longest_wait
from generate_series(1 - :bars::integer, 0) place,
    lateral (select to_timestamp(floor(extract(epoch from now()) / 900) * 900 + place * 900) as begins) bar
left join queue_minute on minute >= bar.begins and minute < bar.begins + interval '15 minutes'
    and queue = coalesce(:queue, queue)
group by bar.begins order by bar.begins

-- name: lock_minutes
-- One at a time.
select pg_advisory_xact_lock(hashtextextended('queue_minute', 0))

-- name: forget_minutes
delete from queue_minute where minute < now() - interval '2 days'

-- name: count_minutes
-- What was closed since the last minute that was counted; the first time, in the last hour.
insert into queue_minute (queue, minute, completed, failed, wait_seconds, longest_wait)
select queue, date_trunc('minute', closed_at), count(*) filter (where state = 'completed'), count(*) filter (where state = 'failed'),
    sum(wait), max(wait)
from job, lateral (select greatest(0, extract(epoch from coalesce(started_at, closed_at) - created_at)) as wait) waited
where closed_at >= greatest(coalesce((select max(minute) + interval '1 minute' from queue_minute), '-infinity'),
        date_trunc('minute', now()) - interval '1 hour')
    and closed_at < date_trunc('minute', now())
group by queue, date_trunc('minute', closed_at)
on conflict do nothing
returning queue
