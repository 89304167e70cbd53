-- A job that waits for a rate limit of our own has not begun: a person's patience with the provider is not used up by that.

-- active (claim 0: waiting, delayed) -> delayed. Costs no attempt. Each of `p_input`: {n, job_id, claim, delay, max_age,
-- final_window (seconds), reason, untried}. A wait that would outlast the job's maximum age is cut, so that the job is tried once
-- more before that. Returns, for each job that is still this claim's, the seconds until it may run; null: it is too old. `untried`: it
-- has begun nothing yet, so that its time has not begun either (started_at).
create function job_snooze_v2(p_input jsonb) returns table (n integer, delay float8, age float8) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    with input as (
        select * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, claim integer, delay float8, max_age float8,
            final_window float8, reason text, untried boolean)
    ), current_jobs as materialized (
        select input.*, extract(epoch from clock_timestamp() - created_at)::float8 as age
        from input join job on job.id = input.job_id
            and job.id = any (array(select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))
        where closed_at is null and not held
          and case input.claim
              when 0 then state = 'waiting' or state = 'delayed' and run_at <= clock_timestamp() + interval '50 ms'
              else state = 'active' and claims = input.claim end
        order by job.id for update of job
    ), snoozed_jobs as (
        select *, case when delay <= max_age - age then delay
                       when max_age - age > final_window then max_age - age - random() * final_window end as allowed_delay
        from current_jobs
    ), delayed_jobs as (
        update job set state = 'delayed', run_at = clock_timestamp() + make_interval(secs => allowed_delay),
            attempts = attempts - (state = 'active')::integer, last_error = reason, last_traceback = null,
            lease_until = null, claimed_by = null, started_at = case when untried then null else started_at end
        from snoozed_jobs
        where job.id = any (array(select job_id from snoozed_jobs)) and job.id = snoozed_jobs.job_id
          and allowed_delay is not null
        returning snoozed_jobs.n
    )
    select snoozed_jobs.n, allowed_delay, snoozed_jobs.age from snoozed_jobs left join delayed_jobs using (n);
end $$;
