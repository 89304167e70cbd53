-- A job of the same ordering key that has not begun takes over the payload and message of `p_job`, and its delay begins
-- anew: one reply that has seen them all. Returns the tickets, or null if there is no such job.
create or replace function job_debounce(p_job jsonb) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set payload = p_job -> 'payload', message_id = (p_job ->> 'message_id')::bigint, state = 'delayed',
                   run_at = clock_timestamp() + make_interval(secs => (p_job ->> 'delay_seconds')::float8)
    where id = (select id from job
                where queue = p_job ->> 'queue' and ordering_key = p_job ->> 'ordering_key' and closed_at is null
                  and attempts = 0 and state in ('waiting', 'delayed') order by id desc limit 1)
        and attempts = 0 and state in ('waiting', 'delayed') -- a worker may have claimed it while this waited for its row
    returning * into v_job;
    return case when not found then null when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;
