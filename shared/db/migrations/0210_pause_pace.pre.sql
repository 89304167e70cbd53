-- How the jobs of a pause that has ended leave, while some are still parked: whoever releases more of them, as whoever ended it and the
-- sweep may do at the same time, goes on where the last one stopped.
create table pause_release (
    pause_id bigint primary key,  -- no reference: that pause is over
    pace     float8 not null check (pace > 0),  -- jobs in a second
    next_at  timestamptz not null -- when the next one leaves
);

-- Releases some jobs of a pause that has ended, oldest first, at its pace (`p_pace` where it has none yet), as if they had come now: the
-- time of the pause makes none too old. Returns the tickets; none are left when they are less than `p_limit`. Who parks a job locks the
-- pause's row, so none is parked behind the end.
create function pause_release_v2(p_id bigint, p_pace float8, p_limit integer) returns jsonb language plpgsql as $$
declare
    v_plan    pause_release;
    v_tickets jsonb;
begin
    insert into pause_release values (p_id, p_pace, clock_timestamp()) on conflict do nothing;
    select * into v_plan from pause_release where pause_id = p_id for update;
    if not found then -- at this moment somebody else released the last one
        return '[]';
    end if;
    with parked_jobs as materialized (
        select id, queue, ordering_key from job
        where waits_for = 'pause ' || p_id and closed_at is null and state = 'delayed' order by id limit p_limit for update skip locked
    ), numbered_jobs as materialized (
        select id, row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, created_at = clock_timestamp(), started_at = case when attempts > 0 then started_at end,
            run_at = greatest(clock_timestamp(), v_plan.next_at + make_interval(secs => place / v_plan.pace))
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    ), jobs_in_line as (
        update job behind set created_at = clock_timestamp() from parked_jobs
        where behind.queue = parked_jobs.queue and behind.ordering_key = parked_jobs.ordering_key and behind.closed_at is null
            and behind.held
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    if jsonb_array_length(v_tickets) < p_limit then
        delete from pause_release where pause_id = p_id;
    else
        update pause_release set next_at = next_at + make_interval(secs => p_limit / pace) where pause_id = p_id;
    end if;
    return v_tickets;
end $$;
