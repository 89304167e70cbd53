-- What the sweep looks for, in pages. All of it is on job_open_idx (`id > 0`) or job_held_idx.

-- name: open_jobs(queue, after, page, grace)
select id, queue, priority, customer_id,
    not held and (state = 'waiting' and created_at < clock_timestamp() - make_interval(secs => :grace)
        or state = 'delayed' and run_at < clock_timestamp() - make_interval(secs => :grace)
        or state = 'active' and lease_until < clock_timestamp()) as due
from job where queue = :queue and closed_at is null and id > 0 and id > :after order by id limit :page

-- name: unclaimed_jobs(ids)
-- Of these, the open jobs that may run now and that no worker is working on.
select id from job
where id = any (:ids::bigint[]) and closed_at is null and not held
  and (state = 'waiting' or state = 'delayed' and run_at < clock_timestamp() or state = 'active' and lease_until < clock_timestamp())

-- name: late_dead_letters(queue, after, page)
-- Failed jobs whose dead letter is late, or was lost.
select id from job where queue = :queue and closed_at is null and id > 0 and id > :after and state = 'failed' order by id limit :page

-- name: orphaned_keys(queue, page)
-- Ordering keys whose jobs are all held.
select held_job.ordering_key from job held_job
where held_job.queue = :queue and held_job.closed_at is null and held_job.held and held_job.state <> 'failed' and not exists (
    select from job head where head.queue = held_job.queue and head.ordering_key = held_job.ordering_key
                           and head.closed_at is null and not head.held)
group by held_job.ordering_key limit :page

-- name: release_orphans(queue, ordering_key)
select job_release_orphans_v1(:queue, :ordering_key) as tickets

-- name: mark_lost(ids)
select job_mark_lost_v1(:ids::bigint[]) as marked
