-- active -> active, until `p_lease` seconds from now. It waits for nobody: a job that is locked at this moment is being ended, or has the
-- next renewal; who ends several of them goes through them in another order.
create function job_renew_leases_v2(p_ids bigint[], p_claims integer[], p_lease float8) returns void language sql as $$
    update job set lease_until = clock_timestamp() + make_interval(secs => p_lease)
    from (select id, claims as claim from job where id = any (p_ids) and state = 'active' for no key update skip locked) held_job,
        unnest(p_ids, p_claims) as lease(id, claim)
    where job.id = any (p_ids) and job.id = held_job.id and lease.id = held_job.id and lease.claim = held_job.claim
$$;
