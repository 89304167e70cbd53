-- What the ledger asks of schema.sql's verbs, where a stage has nothing of its own to add.

-- name: claim
-- Without anything loaded beside the job.
select claimed_jobs.*, null::jsonb as loaded
from job_claim_v3($1 -> 0 ->> 'queue', $1) as claimed_jobs

-- name: state_of_job(job_id)
-- Why a job could not be claimed, and when to look again.
select id, queue, priority, customer_id, case when state = 'delayed' and waits_for is not null then 'parked' else state end as state,
    held, closed_at is not null as closed,
    ceil(greatest(0, extract(epoch from coalesce(run_at, lease_until) - clock_timestamp())) * 1000)::integer as delay_ms
from job where id = :job_id

-- name: snooze
select n, delay, age from job_snooze_v2($1)

-- name: attempt_failed(job_id, claim, error, traceback, retry_delays, outcome_unknown)
-- Of a stage whose failed attempts leave no trace but the job's own.
select attempt, retry_in
from job_fail_attempt_v1(:job_id, :claim, :error, :traceback, :retry_delays::float8[], :outcome_unknown)

-- name: dead_letter(job_id)
-- Of a stage whose failed jobs leave no trace but the job's own.
select job_close_failed_v1(:job_id) as tickets

-- name: failed_job(job_id)
select id, queue, customer_id, last_error from job where id = :job_id and state = 'failed' and closed_at is null

-- name: complete
-- Ends jobs that leave nothing behind.
select jsonb_agg(n) as done, job_complete_v2(min(queue), jsonb_object_agg(job_id, claim)) as tickets
from jsonb_to_recordset($1) as input(n integer, job_id bigint, claim integer, queue text)

-- name: renew_leases(ids, claims, lease)
select job_renew_leases_v2(:ids::bigint[], :claims::integer[], :lease)

-- name: still_claimed(ids, claims)
-- Of these claims, those that are their jobs' last.
select job.id from job join unnest(:ids::bigint[], :claims::integer[]) as abandoned(id, claim)
    on job.id = abandoned.id and job.claims = abandoned.claim and job.state = 'active'
where job.id = any (:ids::bigint[])

-- name: expire_leases(queues, worker)
select job_expire_leases_v1(:queues::text[], :worker)

-- name: release_leases(ids, claims, at_most_once)
select job_release_leases_v1(:ids::bigint[], :claims::integer[], :at_most_once::boolean[]) as tickets
