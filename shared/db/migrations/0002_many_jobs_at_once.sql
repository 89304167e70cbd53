-- The ledger's verbs take many jobs at once, so that the threads of a process end theirs in one statement and one commit.
-- Workers of the release before call the old ones: stop them first.

drop index job_open_idx;
-- For the sweep, who says `id > 0`; the lines do not, so that no plan, made while few jobs are open, ever walks all open
-- jobs of a queue to find those of one line.
create index job_open_idx on job (queue, id) where closed_at is null and id > 0;

drop function job_bury(bigint, jsonb, jsonb);
drop function job_finish(bigint, integer, jsonb, jsonb);
drop function job_follow_up(jsonb, jsonb);
drop function webhook_emit(bigint, text, jsonb);
drop function job_release(text, text);
drop function job_add(jsonb);
drop function job_ticket(job);
drop function job_lock(text, text);

-- The verbs below are functions for two reasons: each step of a job costs one round trip, and each statement in
-- a volatile function sees what others committed while it waited for the lock of an ordering key. They take many jobs
-- at once: the threads of a process end theirs together (shared/db/batching.py).

-- Those who add to a line and those who close its head take turns; the lock ends with the transaction. Lines are
-- locked in the order of the stages, those of one stage in the order of their numbers: two transactions never wait
-- for each other.
create function job_lock(p_queue text, p_keys text[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(line) from (
        select distinct hashtextextended(p_queue || ' ' || key, 0) as line from unnest(p_keys) key
        where key is not null order by line) lines;
end $$;

-- What a caller must hand to Redis after its commit: {id, queue, priority, delay_ms}.
create function job_ticket(j job) returns jsonb language sql stable as $$
    select jsonb_build_object('id', j.id, 'queue', j.queue, 'priority', j.priority, 'delay_ms',
        case when j.state = 'delayed'
             then greatest(0, ceil(extract(epoch from j.run_at - clock_timestamp()) * 1000)::bigint) else 0 end)
$$;

-- A job of the same line that has not begun takes over the payload and message of `p_job`, and begins its delay anew:
-- one reply that has seen them all. Returns the tickets, or null if there is no such job.
create function job_debounce(p_job jsonb) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set payload = p_job -> 'payload', message_id = (p_job ->> 'message_id')::bigint, state = 'delayed',
                   run_at = clock_timestamp() + make_interval(secs => (p_job ->> 'delay_seconds')::float8)
    where id = (select id from job
                where queue = p_job ->> 'queue' and ordering_key = p_job ->> 'ordering_key' and closed_at is null
                  and attempts = 0 and state in ('waiting', 'delayed') order by id desc limit 1)
    returning * into v_job;
    return case when not found then null when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- Adds jobs. Each of `p_jobs`: {queue, payload, ordering_key?, priority?, customer_id?, message_id?, webhook_event_id?,
-- dedup_key?, delay_seconds?, debounce?}. Returns the tickets to enqueue: none for a held job.
create function job_add(p_jobs jsonb) returns jsonb language plpgsql as $$
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
            ordering_key is not null and (place > 1 or exists (
                select from job r where r.queue = asked.queue and r.ordering_key = asked.ordering_key
                                    and r.closed_at is null and not r.held)),
            coalesce(priority, 5), customer_id, message_id, webhook_event_id, dedup_key
        from asked order by ord
        returning case when not held then job_ticket(j) end as ticket
    )
    select v_tickets || coalesce(jsonb_agg(ticket) filter (where ticket is not null), '[]'::jsonb) into v_tickets from added;
    return v_tickets;
end $$;

-- Lets the next of each line go. Called by those who closed its head, under its lock.
create function job_release(p_queue text, p_keys text[]) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with next as materialized (
        select (select id from job where queue = p_queue and ordering_key = key and closed_at is null and held
                order by id limit 1) as id
        from unnest(p_keys) key
        where not exists (select from job where queue = p_queue and ordering_key = key and closed_at is null and not held)
    ), freed as (
        update job j set held = false where j.id = any (array(select id from next)) returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from freed;
    return v_tickets;
end $$;

-- Tells customers' endpoints what happened, [{customer_id, event, data}]: an event and a delivery job for each that listens.
create function webhook_emit(p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_jobs jsonb;
begin
    with told as (
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select e.customer_id, e.id, happened.event, happened.data
        from jsonb_to_recordset(p_events) as happened(customer_id bigint, event text, data jsonb)
        join webhook_endpoint e on e.customer_id = happened.customer_id and e.active and happened.event = any (e.events)
        returning id, customer_id
    )
    select jsonb_agg(jsonb_build_object('queue', 'webhook-delivery', 'customer_id', customer_id, 'webhook_event_id', id,
        'payload', jsonb_build_object('webhook_event_id', id)) order by id) into v_jobs from told;
    return case when v_jobs is null then '[]'::jsonb else job_add(v_jobs) end;
end $$;

-- What jobs leave behind: `p_next` for job_add, `p_events` for webhook_emit.
create function job_follow_up(p_next jsonb, p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb := '[]';
begin
    if p_next <> '[]' then
        v_tickets := job_add(p_next);
    end if;
    if p_events <> '[]' then
        v_tickets := v_tickets || webhook_emit(p_events);
    end if;
    return v_tickets;
end $$;

-- Completes claimed jobs of one queue and adds what follows from them; call it in the statement that writes the results.
-- `p_done`: {job id: the claim's number}. Raises SB001 if one of them is not this claim's any longer: then
-- nothing of the statement happened.
create function job_finish(p_done jsonb, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_ids     bigint[] := array(select jsonb_object_keys(p_done)::bigint);
    v_queue   text;
    v_keys    text[];
    v_closed  integer;
    v_tickets jsonb;
begin
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

-- Closes a failed job when its dead letter is written. Returns null if that was done before.
create function job_bury(p_id bigint, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_tickets jsonb;
begin
    select * into v_job from job where id = p_id;
    perform job_lock(v_job.queue, array[v_job.ordering_key]);
    update job set closed_at = clock_timestamp() where id = p_id and state = 'failed' and closed_at is null;
    if not found then
        return null;
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_job.ordering_key is not null then
        v_tickets := v_tickets || job_release(v_job.queue, array[v_job.ordering_key]);
    end if;
    return v_tickets;
end $$;

-- Accepts an inbound message: returns {message_id, accepted, tickets}. The same external id of the same chatbot
-- and channel gives the first message's id, accepted false. Null if there is no such chatbot.
create or replace function message_accept(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                               p_payload jsonb) returns jsonb language plpgsql as $$
declare
    v_customer bigint := (select customer_id from chatbot where id = p_chatbot_id);
    v_dedup    text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
    v_id       bigint;
begin
    if v_customer is null then
        return null;
    end if;
    if p_external_id is null then
        v_dedup := null;
    else
        perform pg_advisory_xact_lock(hashtextextended(v_dedup, 1));
        select id into v_id from message where chatbot_id = p_chatbot_id and channel = p_channel
                                           and external_id = p_external_id and role = 'user';
        if not found then
            select message_id into v_id from job where dedup_key = v_dedup;
        end if;
        if v_id is not null then
            return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
        end if;
    end if;
    v_id := nextval(pg_get_serial_sequence('message', 'id'));
    return jsonb_build_object('message_id', v_id, 'accepted', true, 'tickets', job_add(jsonb_build_array(jsonb_build_object(
        'queue', 'incoming-messages', 'customer_id', v_customer, 'message_id', v_id, 'dedup_key', v_dedup,
        'ordering_key', p_chatbot_id || ':' || p_channel || ':' || p_external_user_id,
        'payload', p_payload || jsonb_build_object('message_id', v_id)))));
end $$;
