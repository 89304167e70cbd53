-- Whether a line has a head is looked up by its index, whenever the plan was made: asked by `exists`, a session that had begun
-- on an empty table read all jobs for each message it accepted, until autovacuum came.
create or replace function job_add(p_jobs jsonb) returns jsonb language plpgsql as $$
declare
    v_new      jsonb := '[]';
    v_tickets  jsonb := '[]';
    v_debounce jsonb;
    v_item     jsonb;
    v_queue    text;
begin
    for v_queue in select distinct j ->> 'queue' from jsonb_array_elements(p_jobs) j
                   where j ->> 'ordering_key' is not null order by 1 loop
        perform job_lock(v_queue, array(select j ->> 'ordering_key' from jsonb_array_elements(p_jobs) j
                                        where j ->> 'queue' = v_queue));
    end loop;
    if p_jobs @> '[{"debounce": true}]' then
        for v_item in select jsonb_array_elements(p_jobs) loop
            v_debounce := case when (v_item ->> 'debounce')::boolean then job_debounce(v_item) end;
            if v_debounce is null then
                v_new := v_new || jsonb_build_array(v_item);
            else
                v_tickets := v_tickets || v_debounce;
            end if;
        end loop;
    else
        v_new := p_jobs;
    end if;
    with asked as (
        select j.*, coalesce(j.delay_seconds, 0) > 0 as late,
            row_number() over (partition by j.queue, j.ordering_key order by ord) as place, ord
        from jsonb_array_elements(v_new) with ordinality as e(item, ord), jsonb_to_record(item) as j(
            queue text, payload jsonb, ordering_key text, priority smallint, customer_id bigint, message_id bigint,
            webhook_event_id bigint, dedup_key text, delay_seconds float8)
    ), added as (
        insert into job as j (queue, state, run_at, payload, ordering_key, held, priority, customer_id, message_id,
                              webhook_event_id, dedup_key)
        select queue, case when late then 'delayed' else 'waiting' end,
            case when late then clock_timestamp() + make_interval(secs => delay_seconds) end, payload, ordering_key,
            -- No `exists`: of two plans for one PostgreSQL may keep that which reads the whole table, made while it was empty.
            ordering_key is not null and (place > 1 or (
                select true from job r where r.queue = asked.queue and r.ordering_key = asked.ordering_key
                                         and r.closed_at is null and not r.held) is not null),
            coalesce(priority, 5), customer_id, message_id, webhook_event_id, dedup_key
        from asked order by ord
        returning case when not held then job_ticket(j) end as ticket
    )
    select v_tickets || coalesce(jsonb_agg(ticket) filter (where ticket is not null), '[]'::jsonb) into v_tickets from added;
    return v_tickets;
end $$;
