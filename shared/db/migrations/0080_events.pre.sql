-- One list of events in SQL (webhook_event_names), a number for each event (sequence), its chatbot in all of them, and one function
-- for each thing that events are about. message.delivered and message.read are for whoever asks for them.

-- The events that there are, and those that an endpoint hears of if it does not say: shared/webhooks/events.py, which says what they
-- mean. Functions, and no table: a restored dump checks each endpoint before it fills other tables.
create function webhook_event_names() returns text[] language sql immutable parallel safe as $$
    select '{message.received,message.sent,message.delivered,message.read,message.failed,message.fallback,conversation.opened,'
        'conversation.handoff,conversation.assigned,conversation.returned,conversation.closed,conversation.braked,channel.down,'
        'channel.up,template.status,knowledge.gap,budget.warning,budget.exhausted,endpoint.disabled}'::text[]
$$;

create function webhook_default_events() returns text[] language sql immutable parallel safe as $$
    select array(select name from unnest(webhook_event_names()) name where name not in ('message.delivered', 'message.read'))
$$;

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (events <@ webhook_event_names() and cardinality(events) > 0),
    alter column events set default webhook_default_events();

-- Numbers events in the order in which they happened (webhook_emit).
create sequence event_sequence;

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
        insert into webhook_event (customer_id, endpoint_id, event, payload)
        select endpoint.customer_id, endpoint.id, input.event, input.data
        from input join webhook_endpoint endpoint on endpoint.customer_id = input.customer_id and endpoint.active
            and input.event = any (endpoint.events)
        order by input.data -> 'sequence'
        returning id, customer_id
    )
    select jsonb_agg(delivery_job_v1(customer_id, id) order by id) into v_jobs from new_events;
    return case when v_jobs is null then '[]'::jsonb else job_add_v1(v_jobs) end;
end $$;

-- An event, for job_complete_v1 and its siblings or for events_add_v1; one function for each thing that events are about. `p_more`
-- are further members of its data (shared/webhooks/schemas.py).
create function message_event_v2(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint,
                                 p_channel text, p_message_id bigint, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object('message_id', p_message_id,
        'conversation_id', p_conversation_id, 'chatbot_id', p_chatbot_id, 'channel', p_channel) || p_more)
$$;

create function conversation_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint,
                                      p_channel text, p_external_user_id text, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object(
        'conversation_id', p_conversation_id, 'chatbot_id', p_chatbot_id, 'channel', p_channel,
        'external_user_id', p_external_user_id) || p_more)
$$;

create function channel_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_channel text, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object(
        'chatbot_id', p_chatbot_id, 'channel', p_channel) || p_more)
$$;

create function customer_event_v1(p_event text, p_customer_id bigint, p_data jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', p_data)
$$;

-- Adds such events, where no job ends. Returns the tickets to enqueue.
create function events_add_v1(p_events jsonb) returns jsonb language sql as $$
    select webhook_emit(p_events)
$$;

drop function owner_event_v1(text, bigint, bigint, text, text, text, text, timestamptz);

-- The event of a conversation that changed hands; `p_by`: api, phone, provider, bot, customer, or idle.
create function owner_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint, p_channel text,
                               p_external_user_id text, p_owner text, p_by text, p_returns_at timestamptz default null)
returns jsonb language sql stable as $$
    select conversation_event_v1(p_event, p_customer_id, p_chatbot_id, p_conversation_id, p_channel, p_external_user_id,
        jsonb_build_object('owner', p_owner, 'by', p_by,
            'returns_at', to_char(p_returns_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
$$;

-- A person takes over, writes again, or closes the conversation: `p_owner` is person or closed. `p_minutes` without a message from
-- either side bring it back to the bot, 0: nothing does. Null: as it was agreed before, or as its chatbot says. Replies that wait are
-- SUPERSEDED, and one that is being written disappears from the page. Returns the tickets.
create or replace function conversation_take_over_v1(p_id bigint, p_owner text, p_by text, p_minutes integer default null) returns jsonb
language plpgsql as $$
declare
    v_before  conversation;
    v_chatbot chatbot;
    v_minutes integer;
    v_after   conversation;
begin
    select * into v_before from conversation where id = p_id for no key update;
    if not found then
        return '[]';
    end if;
    select * into v_chatbot from chatbot where id = v_before.chatbot_id;
    v_minutes := nullif(case when p_owner = 'closed' then 0
                             when p_minutes is not null then p_minutes
                             when v_before.owner = 'person' then coalesce(v_before.return_after_minutes, 0)
                             else v_chatbot.return_after_minutes end, 0);
    update conversation set owner = p_owner,
        owner_since = case when owner = p_owner then owner_since else clock_timestamp() end,
        handed_over_at = null, handover_reason = null, return_after_minutes = v_minutes,
        returns_at = clock_timestamp() + make_interval(mins => v_minutes), updated_at = clock_timestamp()
    where id = p_id returning * into v_after;
    delete from reply_draft where conversation_id = p_id;
    if found then
        perform pg_notify('widget', md5(v_after.chatbot_id || ':' || v_after.external_user_id));
    end if;
    if v_before.owner = p_owner and v_before.handed_over_at is null then
        return '[]';
    end if;
    -- All but those that a send stage has claimed, which may have left.
    update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
    where conversation_id = p_id and status = 'PENDING' and reply_to is not null and not exists (
        select from job where job.message_id = message.id and closed_at is null
            and (state = 'active' or outcome_unknown_since is not null));
    return webhook_emit((
        select jsonb_agg(owner_event_v1(event, v_chatbot.customer_id, v_chatbot.id, p_id, v_after.channel, v_after.external_user_id,
            p_owner, p_by, v_after.returns_at))
        from unnest(case p_owner when 'closed' then '{conversation.assigned,conversation.closed}'::text[]
                                 else '{conversation.assigned}' end) event));
end $$;

-- The bot has the conversation again. What the customer wrote since the business last did is answered, once, if it is younger than
-- `p_answer_within` seconds: whoever asked while nobody looked still waits. Returns the tickets; null if it was not a person's or closed.
create or replace function conversation_give_back_v1(p_id bigint, p_by text, p_answer_within float8) returns jsonb language plpgsql as $$
declare
    v_after    conversation;
    v_customer customer;
    v_question message;
    v_jobs     jsonb := '[]';
begin
    update conversation set owner = 'bot', owner_since = clock_timestamp(), returns_at = null, return_after_minutes = null,
        handed_over_at = null, handover_reason = null
    where id = p_id and owner <> 'bot' and (p_by <> 'idle' or returns_at <= clock_timestamp()) returning * into v_after;
    if not found then
        return null;
    end if;
    select customer.* into v_customer from customer join chatbot on chatbot.customer_id = customer.id
    where chatbot.id = v_after.chatbot_id;
    select * into v_question from message where conversation_id = p_id and role not in ('assistant', 'agent')
    order by id desc limit 1;
    if v_question.created_at > now() - make_interval(secs => p_answer_within)
       and (not v_question.metadata ? 'kept' or v_question.metadata ? 'standby') and not exists (
            select from message where conversation_id = p_id and role <> 'user' and status not in ('FAILED', 'SUPERSEDED')
                and coalesce(reply_to, id) >= v_question.id) then
        v_jobs := jsonb_build_array(answer_job_v1(v_customer.id, v_customer.priority, v_question.id, p_id, 0));
    end if;
    return job_follow_up(v_jobs, jsonb_build_array(owner_event_v1('conversation.returned', v_customer.id, v_after.chatbot_id, p_id,
        v_after.channel, v_after.external_user_id, 'bot', p_by)));
end $$;

-- Moves an account to another state, tells its business's endpoints (channel.down, channel.up), and releases what waited for it. What
-- is older than the last move (`p_at`: when it was seen) changes nothing. `p_calls`: 1 if a call found it so, which may be repeated
-- after p_pauses[calls + 1] seconds. `p_data`: what the event says besides. Returns {has_changed, tickets}.
create or replace function channel_set_state_v1(p_channel text, p_chatbot_id bigint, p_state text, p_reason text, p_detail text,
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
        v_tickets := webhook_emit(jsonb_build_array(channel_event_v1(
            case when channel_is_down_v1(v_new.state) then 'channel.down' else 'channel.up' end,
            (select customer_id from chatbot where id = p_chatbot_id), p_chatbot_id, p_channel,
            jsonb_build_object('state', v_new.state, 'reason', v_new.reason, 'since', v_new.since) || p_data)));
    end if;
    if channel_is_down_v1(v_old.state) and not channel_is_down_v1(v_new.state) then
        v_tickets := v_tickets || job_release_v1(channel_account_v1(p_channel, p_chatbot_id), p_pace);
    end if;
    return jsonb_build_object('has_changed', v_new.state <> v_old.state, 'tickets', v_tickets);
end $$;
