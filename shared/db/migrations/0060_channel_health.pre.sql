-- The health of channels' accounts (shared/channels/health.py): a row for each that was ever in trouble, or too fast. No row: ok.
create table channel_health (
    chatbot_id bigint not null references chatbot on delete cascade,
    channel    text not null references channel,
    -- ok         it sends
    -- degraded   it sends, and somebody has to look at it
    -- needs_login, held, banned: it cannot send; its replies are held until it can
    state      text not null default 'ok' check (state in ('ok', 'degraded', 'needs_login', 'held', 'banned')),
    reason     text, -- a code of ours (shared/channels/outcomes.py)
    detail     text, -- the provider's words
    since      timestamptz not null,
    -- While it cannot send: calls that found it so, and when one reply may try again. Null: it is waited for somebody.
    calls      integer not null default 0 check (calls >= 0),
    probe_at   timestamptz,
    -- The provider takes no more from it until then.
    slow_until timestamptz,
    primary key (chatbot_id, channel),
    check ((state = 'ok') = (reason is null)),
    check (probe_at is null or state not in ('ok', 'degraded'))
);

alter table job add column waits_for text;
create index job_waits_for_idx on job (waits_for, id) where waits_for is not null and closed_at is null;

-- active -> delayed, until job_release_v1 or, at the latest, for `p_seconds`. Costs no attempt. Returns whether it is still this
-- claim's.
create function job_park_v1(p_id bigint, p_claim integer, p_waits_for text, p_seconds float8, p_reason text)
returns boolean language sql as $$
    update job set state = 'delayed', run_at = clock_timestamp() + make_interval(secs => p_seconds), attempts = attempts - 1,
        last_error = p_reason, last_traceback = null, lease_until = null, claimed_by = null, waits_for = p_waits_for
    where id = p_id and state = 'active' and claims = p_claim
    returning true
$$;

-- delayed -> delayed, due one after the other, oldest first, `p_pace` seconds apart: what they waited for is there. Returns the
-- tickets.
create function job_release_v1(p_waits_for text, p_pace float8) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with parked_jobs as (
        select id from job where waits_for = p_waits_for and closed_at is null and state = 'delayed' order by id for update
    ), numbered_jobs as (
        select id, row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, run_at = clock_timestamp() + make_interval(secs => place * p_pace)
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    return v_tickets;
end $$;

-- What jobs of an account that cannot send wait for (job.waits_for).
create function channel_account_v1(p_channel text, p_chatbot_id bigint) returns text language sql immutable as $$
    select p_channel || ' ' || p_chatbot_id
$$;

create function channel_is_down_v1(state text) returns boolean language sql immutable parallel safe as $$
    select state not in ('ok', 'degraded')
$$;

-- What a send reads of its account's health, and when: {is_down, reason, probe_is_due, slow_for (seconds), read_at}.
create function channel_health_v1(p_channel text, p_chatbot_id bigint) returns jsonb language sql volatile as $$
    select jsonb_build_object('is_down', coalesce(channel_is_down_v1(state), false), 'reason', reason,
        'probe_is_due', coalesce(probe_at <= clock_timestamp(), false),
        'slow_for', extract(epoch from slow_until - clock_timestamp()), 'read_at', clock_timestamp())
    from (select) once left join channel_health on chatbot_id = p_chatbot_id and channel = p_channel
$$;

-- Moves an account to another state, tells its business's endpoints (channel.down, channel.up), and releases what waited for it. What
-- is older than the last move (`p_at`: when it was seen) changes nothing. `p_calls`: 1 if a call found it so, which may be repeated
-- after p_pauses[calls + 1] seconds. `p_data`: what the event says besides. Returns {has_changed, tickets}.
create function channel_set_state_v1(p_channel text, p_chatbot_id bigint, p_state text, p_reason text, p_detail text,
                                     p_at timestamptz, p_calls integer, p_pauses float8[], p_pace float8, p_data jsonb)
returns jsonb language plpgsql as $$
declare
    v_old     channel_health;
    v_new     channel_health;
    v_calls   integer;
    v_tickets jsonb := '[]';
begin
    insert into channel_health (chatbot_id, channel, since) select id, p_channel, p_at from chatbot where id = p_chatbot_id
    on conflict do nothing;
    select * into v_old from channel_health where chatbot_id = p_chatbot_id and channel = p_channel for update;
    v_calls := p_calls + case when v_old.state = p_state then v_old.calls else 0 end;
    if p_at < v_old.since then
        -- A call that was under way when another one found out. Or it is older than a new token.
        update channel_health set calls = calls + p_calls where chatbot_id = p_chatbot_id and channel = p_channel
            and channel_is_down_v1(state);
        return jsonb_build_object('has_changed', false, 'tickets', '[]'::jsonb);
    end if;
    update channel_health set state = p_state, reason = p_reason, detail = p_detail,
        since = case when state <> p_state then clock_timestamp() when state = 'ok' then p_at else since end,
        calls = case when channel_is_down_v1(p_state) then v_calls else 0 end,
        probe_at = case when channel_is_down_v1(p_state) then clock_timestamp() + make_interval(secs => p_pauses[v_calls + 1]) end
    where chatbot_id = p_chatbot_id and channel = p_channel returning * into v_new;
    if v_new.state <> v_old.state and (channel_is_down_v1(v_new.state) or channel_is_down_v1(v_old.state)) then
        v_tickets := webhook_emit(jsonb_build_array(jsonb_build_object(
            'customer_id', (select customer_id from chatbot where id = p_chatbot_id),
            'event', case when channel_is_down_v1(v_new.state) then 'channel.down' else 'channel.up' end,
            'data', jsonb_build_object('channel', p_channel, 'chatbot_id', p_chatbot_id, 'state', v_new.state,
                'reason', v_new.reason, 'since', v_new.since) || p_data)));
    end if;
    if channel_is_down_v1(v_old.state) and not channel_is_down_v1(v_new.state) then
        v_tickets := v_tickets || job_release_v1(channel_account_v1(p_channel, p_chatbot_id), p_pace);
    end if;
    return jsonb_build_object('has_changed', v_new.state <> v_old.state, 'tickets', v_tickets);
end $$;

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (
        events <@ '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned,channel.down,channel.up}'::text[]
        and cardinality(events) > 0),
    alter column events set default
        '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned,channel.down,channel.up}';
