-- Locks the jobs that a single-statement stage may complete, in the order in which every process goes through them. Such a
-- stage only talks to PostgreSQL: until the commit nothing has happened, and after it all has, so it claims nothing.
-- Each of `p_input`: {n, job_id, claim}. Claim 0: nobody holds it, and no worker was lost with it. A job that lost one is
-- claimed first (shared/jobs/stage.py), so that a second loss is counted on it and on no neighbour.
create function job_lock_runnable_v2(p_queue text, p_input jsonb)
returns table (n integer, job_id bigint, claim integer, customer_id bigint, payload jsonb, attempt integer)
language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    select input.n, job.id, input.claim, job.customer_id, job.payload, job.attempts + (state <> 'active')::integer
    from (select distinct on (job_id) * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, claim integer)
          order by job_id, claim desc, n) input -- a job that was delivered twice is worked on once, by whoever has claimed it
    join job on job.id = input.job_id
        and job.id = any (array(select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))
    where job.queue = p_queue and closed_at is null and not held
      and case input.claim
          when 0 then lost_claims = 0
              and (state = 'waiting' or state = 'delayed' and run_at <= clock_timestamp() + interval '50 ms')
          else state = 'active' and claims = input.claim end
    order by job.id for update of job;
end $$;
