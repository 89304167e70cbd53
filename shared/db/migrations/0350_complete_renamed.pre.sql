-- active -> completed; a job of a single-statement stage (claim 0): waiting, delayed -> completed. Call it in the statement
-- that writes the results. `p_done`: {job id: the claim's number}; `p_next` and `p_events`: what follows. Raises SB001 if
-- one of them is not this claim's any longer: then nothing of the statement happened. `p_durable` false commits
-- asynchronously: nobody outside sees these results before a later durable commit, which makes all before it durable as
-- well; if a crash forgets them first, the jobs run again.
create function job_complete_v2(p_queue text, p_done jsonb, p_next jsonb default '[]', p_events jsonb default '[]',
                                p_durable boolean default true)
returns jsonb language plpgsql as $$
declare
    v_ids     bigint[] := array(select jsonb_object_keys(p_done)::bigint);
    v_locked  text[];
    v_keys    text[];
    v_closed  integer;
    v_tickets jsonb;
begin
    if not p_durable then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    select array_agg(ordering_key) filter (where ordering_key is not null) into v_locked from job where id = any (v_ids);
    if v_locked is not null then
        perform job_lock(p_queue, v_locked);
    end if;
    with closed_jobs as (
        update job set state = 'completed', closed_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
            claims = claims + (state <> 'active')::integer, attempts = attempts + (state <> 'active')::integer,
            run_at = null, lease_until = null, claimed_by = null
        where id = any (v_ids) and queue = p_queue and closed_at is null and not held
          and case (p_done ->> id::text)::integer when 0 then state in ('waiting', 'delayed')
              else state = 'active' and claims = (p_done ->> id::text)::integer end
        returning ordering_key
    )
    select count(*), array_agg(ordering_key) filter (where ordering_key is not null) into v_closed, v_keys from closed_jobs;
    if v_closed < cardinality(v_ids) then
        raise exception 'of the jobs %, only % still belong to these claims', p_done, v_closed using errcode = 'SB001';
    end if;
    if not v_keys <@ v_locked then -- a conversation was merged into another while this waited for the lock (conversation_merge)
        perform job_lock(p_queue, v_keys);
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_keys is not null then
        v_tickets := v_tickets || job_unhold_next(p_queue, v_keys);
    end if;
    return v_tickets;
end $$;
