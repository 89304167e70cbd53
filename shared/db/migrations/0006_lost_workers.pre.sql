-- Only a worker that died counts as lost, and who was lost with it runs alone.

-- The worker in `claimed_by`; its job may run beside it, alone in a process.
create function worker_of(claimed_by text) returns text language sql immutable parallel safe as $$
    select replace(claimed_by, 'alone:', '')
$$;

-- Whether an active job, which `p_worker` is about to claim, was worked on under its last claim.
create function job_has_begun(j job, p_worker text, p_begun integer) returns boolean language sql immutable parallel safe as $$
    select j.state = 'active' and case when worker_of(j.claimed_by) = p_worker then j.claims = p_begun
                                       else j.lost_claims = 0 or j.claimed_by <> worker_of(j.claimed_by) end
$$;

-- waiting, delayed (due), active (lease expired) -> active. Each of `p_input`: {n, job_id, worker, lease, clock_skew (both
-- in seconds), at_most_once, durable, begun}; at_most_once and durable are the stage's, the same in each row. A stage that is
-- at most once remembers that a lost worker may have acted: its outcome is unknown. `durable` false: a claim that a crash of
-- PostgreSQL forgets costs one more execution, and nobody outside has seen anything.
--
-- A worker is lost only if another one finds its job. The worker itself may take an active job of its own at once, for it asks
-- only where no thread of it works on the job: either the answer to its claim was lost, and nothing has begun, so that this is
-- the same attempt; or its work had begun under the claim `begun`, and what came of it could not be recorded. A job that a
-- worker died with before runs in no worker again, but alone in a process (job_begin_alone_v1): if its next worker dies before
-- that, nothing has begun.
create function job_claim_v2(p_queue text, p_input jsonb)
returns table (n integer, job_id bigint, claim integer, queue text, priority smallint, payload jsonb, attempt integer,
               lost_claims integer, age float8, customer_id bigint, message_id bigint, webhook_event_id bigint,
               outcome_unknown_for float8) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    if not (p_input -> 0 ->> 'durable')::boolean then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query
    with input as materialized (
        select * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, worker text, lease float8, clock_skew float8,
            at_most_once boolean, begun integer) order by job_id
    )
    update job set state = 'active', claims = claims + 1,
        attempts = attempts + (state <> 'active' or job_has_begun(job, input.worker, input.begun))::integer,
        lost_claims = lost_claims + (job_has_begun(job, input.worker, input.begun)
            and worker_of(claimed_by) <> input.worker)::integer,
        outcome_unknown_since = case when input.at_most_once and job_has_begun(job, input.worker, input.begun)
            then clock_timestamp() else outcome_unknown_since end,
        claimed_by = input.worker, lease_until = clock_timestamp() + make_interval(secs => input.lease),
        run_at = null, started_at = coalesce(started_at, clock_timestamp())
    from input
    where job.id = any (array(select job_id from input)) -- by the index, also where the plan was made on an empty table
      and job.id = input.job_id and job.queue = p_queue and closed_at is null and not held
      and (state = 'waiting'
           or state = 'delayed' and run_at <= clock_timestamp() + make_interval(secs => input.clock_skew)
           or state = 'active' and (lease_until < clock_timestamp() or worker_of(claimed_by) = input.worker))
    returning input.n, job.id, job.claims, job.queue, job.priority, job.payload, job.attempts, job.lost_claims,
        extract(epoch from clock_timestamp() - job.created_at)::float8, job.customer_id, job.message_id, job.webhook_event_id,
        extract(epoch from clock_timestamp() - job.outcome_unknown_since)::float8;
end $$;

-- active -> active: from now on it runs alone in a process, whose worker does not die with it. Returns whether it is still this
-- claim's.
create function job_begin_alone_v1(p_job_id bigint, p_claim integer) returns boolean language sql as $$
    update job set claimed_by = 'alone:' || worker_of(claimed_by) where id = p_job_id and state = 'active' and claims = p_claim
    returning true
$$;

-- active -> active: the process in which it ran alone died. Returns how many workers it lost so far; null if the job is not this
-- claim's any longer.
create function job_lost_alone_v1(p_job_id bigint, p_claim integer) returns integer language sql as $$
    update job set lost_claims = lost_claims + 1 where id = p_job_id and state = 'active' and claims = p_claim
    returning lost_claims
$$;

-- active -> active, with a lease that has ended: this worker is dead, and whoever started it says so. What runs alone may go on.
create function job_expire_leases_v1(p_queues text[], p_worker text) returns void language sql as $$
    update job set lease_until = clock_timestamp()
    where queue = any (p_queues) and closed_at is null and id > 0 and state = 'active' and claimed_by = p_worker
$$;
