-- Results that nobody outside has seen need not wait for the disk (job_finish, p_seen). Workers of before go on as they were.
drop function job_finish(jsonb, jsonb, jsonb);

-- Completes claimed jobs of one queue and adds what follows from them; call it in the statement that writes the results.
-- `p_done`: {job id: the claim's number}. Raises SB001 if one of them is not this claim's any longer: then
-- nothing of the statement happened. `p_seen` false: nobody outside sees these results before a later commit that is
-- durable, and that one makes all before it durable; if a crash forgets them first, the jobs run again.
create function job_finish(p_done jsonb, p_next jsonb default '[]', p_events jsonb default '[]', p_seen boolean default true)
returns jsonb language plpgsql as $$
declare
    v_ids     bigint[] := array(select jsonb_object_keys(p_done)::bigint);
    v_queue   text;
    v_keys    text[];
    v_closed  integer;
    v_tickets jsonb;
begin
    if not p_seen then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    select min(queue), array_agg(ordering_key) filter (where ordering_key is not null) into v_queue, v_keys
    from job where id = any (v_ids);
    if v_keys is not null then
        perform job_lock(v_queue, v_keys);
    end if;
    update job set state = 'completed', closed_at = clock_timestamp(), lease_until = null, claimed_by = null
    where id = any (v_ids) and state = 'active' and claims = (p_done ->> id::text)::integer;
    get diagnostics v_closed = row_count;
    if v_closed < cardinality(v_ids) then
        raise exception 'of %, only % are still claimed so', p_done, v_closed using errcode = 'SB001';
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_keys is not null then
        v_tickets := v_tickets || job_release(v_queue, v_keys);
    end if;
    return v_tickets;
end $$;

-- A claim changes nothing that an index knows: it touches none.
drop index job_closed_idx;
create index job_closed_idx on job (closed_at) where closed_at is not null;
