-- A pause that has ended lets its jobs go some at a time.
create function pause_release_v1(p_id bigint, p_begun timestamptz, p_place bigint, p_pace float8, p_limit integer)
returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with parked_jobs as materialized (
        select id, queue, ordering_key from job
        where waits_for = 'pause ' || p_id and closed_at is null and state = 'delayed' order by id limit p_limit for update skip locked
    ), numbered_jobs as materialized (
        select id, p_place + row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, created_at = clock_timestamp(), started_at = case when attempts > 0 then started_at end,
            run_at = greatest(clock_timestamp(), p_begun + make_interval(secs => place / p_pace))
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    ), jobs_in_line as (
        update job behind set created_at = clock_timestamp() from parked_jobs
        where behind.queue = parked_jobs.queue and behind.ordering_key = parked_jobs.ordering_key and behind.closed_at is null
            and behind.held
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    return v_tickets;
end $$;
