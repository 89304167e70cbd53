-- What an endpoint hears of and how: filters, own headers, a rate, a pause, two secrets for a day, its health; endpoints without a URL.
alter table webhook_endpoint
    alter column url drop not null,
    add column description text not null default '' check (length(description) <= 200),
    -- Whose events it hears of, beside what is about no chatbot and no channel. Null: of all.
    add column chatbots    bigint[] check (cardinality(chatbots) between 1 and 100),
    add column channels    text[] check (cardinality(channels) between 1 and 20),
    add column headers     text, -- encrypted; a JSON object of what its owner wants sent besides
    add column rate_limit  text check (rate_limit ~ '^[1-9][0-9]{0,4}/[1-9][0-9]{0,3}[smh]$'), -- like 10/1s
    -- Its deliveries wait: an event is `held`, and has no job, until it is resumed.
    add column paused      boolean not null default false,
    -- The secret before this one signs as well, until then.
    add column old_secret  text, -- encrypted
    add column old_secret_until timestamptz,
    -- Since when it has only failed; when its owner was told that it will be disabled (shared/webhooks/failing.py).
    add column failing_since timestamptz,
    add column warned_at   timestamptz,
    -- Why it was disabled, if its owner did not do it.
    add column disabled_reason text check (disabled_reason in ('failing', 'gone')),
    add check ((old_secret is null) = (old_secret_until is null)),
    add check (warned_at is null or failing_since is not null),
    add check (disabled_reason is null or not active);

alter table webhook_event
    add column held boolean not null default false,
    add column position bigint,
    add check (position >= 0),
    add check (not held or status = 'PENDING');
create index webhook_event_held_idx on webhook_event (endpoint_id, id) where held;
create index webhook_event_unread_idx on webhook_event (endpoint_id, id) where position = 0;
create unique index webhook_event_position_idx on webhook_event (endpoint_id, position) where position > 0;
create sequence webhook_event_position;

-- Adds an event, and the job that delivers it, for each endpoint that listens: [{customer_id, event, data}]. Of two events of a
-- conversation the later one has the larger `sequence`, for whoever changes a conversation has locked what the other one needs. A
-- number of its own for each conversation would take one lock more, and would have to be dealt with where two are merged.
create or replace function webhook_emit(p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_jobs jsonb;
begin
    with input as materialized ( -- numbered once, however many endpoints hear of it
        select customer_id, event, data || jsonb_build_object('sequence', nextval('event_sequence')) as data
        from jsonb_to_recordset(p_events) as i(customer_id bigint, event text, data jsonb)
    ), new_events as (
        insert into webhook_event (customer_id, endpoint_id, event, payload, held, position)
        select endpoint.customer_id, endpoint.id, input.event, input.data, endpoint.paused and endpoint.url is not null,
            case when endpoint.url is null then 0 end
        from input join webhook_endpoint endpoint on endpoint.customer_id = input.customer_id and endpoint.active
            and input.event = any (endpoint.events)
            and (endpoint.chatbots is null or coalesce((input.data ->> 'chatbot_id')::bigint = any (endpoint.chatbots), true))
            and (endpoint.channels is null or coalesce(input.data ->> 'channel' = any (endpoint.channels), true))
        order by input.data -> 'sequence'
        returning id, customer_id, held, position
    )
    select jsonb_agg(delivery_job_v1(customer_id, id) order by id) into v_jobs from new_events where not held and position is null;
    return case when v_jobs is null then '[]'::jsonb else job_add_v1(v_jobs) end;
end $$;

-- An endpoint that only fails: `p_state` is failing (it will be disabled at `p_disables_at`) or disabled. Its other endpoints hear of it.
create function endpoint_event(e webhook_endpoint, p_state text, p_reason text, p_disables_at timestamptz) returns jsonb
language sql stable as $$
    select customer_event_v1('endpoint.disabled', e.customer_id, jsonb_build_object('endpoint_id', e.id, 'url', e.url,
        'state', p_state, 'reason', p_reason, 'failing_since', e.failing_since, 'disables_at', p_disables_at))
$$;

-- Disables an endpoint; `p_reason`: failing or gone. Returns the tickets; null if it was not active.
create function webhook_endpoint_disable_v1(p_id bigint, p_reason text) returns jsonb language plpgsql as $$
declare
    v_endpoint webhook_endpoint;
begin
    update webhook_endpoint set active = false, disabled_reason = p_reason where id = p_id and active returning * into v_endpoint;
    return case when found then webhook_emit(jsonb_build_array(endpoint_event(v_endpoint, 'disabled', p_reason, null))) end;
end $$;

-- Tells of an endpoint that will be disabled, once. Returns the tickets; null if it was told, or is well.
create function webhook_endpoint_warn_v1(p_id bigint, p_disables_at timestamptz) returns jsonb language plpgsql as $$
declare
    v_endpoint webhook_endpoint;
begin
    update webhook_endpoint set warned_at = clock_timestamp()
    where id = p_id and active and failing_since is not null and warned_at is null returning * into v_endpoint;
    return case when found then webhook_emit(jsonb_build_array(endpoint_event(v_endpoint, 'failing', 'failing', p_disables_at))) end;
end $$;
