-- Who may answer: a conversation belongs to the bot, to a person, or is closed.

alter table chatbot
    add column return_after_minutes integer not null default 60 check (return_after_minutes between 0 and 43200);

alter table conversation
    add column owner text not null default 'bot' check (owner in ('bot', 'person', 'closed')),
    add column owner_since timestamptz,
    add column returns_at timestamptz,
    add column return_after_minutes integer check (return_after_minutes between 1 and 43200),
    add constraint conversation_check1 check (returns_at is null or owner = 'person');
create index conversation_returns_idx on conversation (returns_at) where returns_at is not null;

-- What the bot handed over within the last hour is a person's now. What it handed over before that goes back, as it does today.
update conversation set owner = 'person', owner_since = handed_over_at, return_after_minutes = 60,
    returns_at = handed_over_at + interval '1 hour'
where handed_over_at > now() - interval '1 hour';
update conversation set handed_over_at = null, handover_reason = null where owner = 'bot' and handed_over_at is not null;

alter table message
    drop constraint message_status_check,
    add constraint message_status_check check (status in ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'SUPERSEDED'));

create function status_rank_v2(status text) returns integer language sql immutable parallel safe as $$
    select case status when 'PENDING' then 0 when 'SENT' then 1 when 'FAILED' then 2 when 'SUPERSEDED' then 2
                       when 'DELIVERED' then 3 when 'READ' then 4 end
$$;

create function message_set_status_v2(p_id bigint, p_status text, p_error text default null, p_external_id text default null,
                                      p_attempts integer default null, p_metadata jsonb default '{}')
returns boolean language plpgsql as $$
declare
    v_moves boolean;
begin
    select status_rank_v2(status) < status_rank_v2(p_status) into v_moves
    from message where id = p_id and role = 'assistant' for no key update;
    update message set
        status = case when v_moves then p_status else status end,
        error = case when v_moves and p_status = 'FAILED' then coalesce(p_error, 'the channel reported a failure')
                     when p_attempts is null or status = 'FAILED' and not v_moves then error end,
        external_id = case when p_attempts is null then coalesce(external_id, p_external_id)
                           else coalesce(p_external_id, external_id) end,
        attempts = coalesce(p_attempts, attempts), metadata = metadata || p_metadata, updated_at = clock_timestamp()
    where id = p_id and role = 'assistant' and (v_moves or p_attempts is not null);
    return found;
end $$;

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (
        events <@ '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned}'::text[]
        and cardinality(events) > 0),
    alter column events set default
        '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff,'
            'conversation.assigned,conversation.returned}';

-- Whether a reply may leave, by its conversation as it is under that lock. What a person writes answers no message, and always may. The
-- bot's must be of the time since the conversation is the bot's; and where the bot itself has handed it over, the reply that says so may
-- leave until a person has come.
create function reply_may_leave_v1(p_reply_to bigint, p_created_at timestamptz, p_owner text, p_owner_since timestamptz,
                                   p_handed_over_at timestamptz) returns boolean language sql immutable parallel safe as $$
    select p_reply_to is null or case p_owner
        when 'bot' then coalesce(p_created_at >= p_owner_since, true)
        when 'person' then coalesce(p_created_at = p_handed_over_at, false)
        else false end
$$;

-- Whether a message from the customer finds the bot again: a closed conversation opens, and a person's time may be over.
create function is_bots_again_v1(p_owner text, p_returns_at timestamptz) returns boolean language sql stable parallel safe as $$
    select p_owner = 'closed' or coalesce(p_returns_at <= now(), false)
$$;

-- What webhook_emit says of a conversation that changed hands; `p_by`: api, phone, provider, bot, customer, or idle.
create function owner_event_v1(p_event text, p_customer_id bigint, p_conversation_id bigint, p_channel text,
                               p_external_user_id text, p_owner text, p_by text, p_returns_at timestamptz default null)
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object(
        'conversation_id', p_conversation_id, 'channel', p_channel, 'external_user_id', p_external_user_id, 'owner', p_owner, 'by', p_by,
        'returns_at', to_char(p_returns_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
$$;

-- A person takes over, writes again, or closes the conversation: `p_owner` is person or closed. `p_minutes` without a message from
-- either side bring it back to the bot, 0: nothing does. Null: as it was agreed before, or as its chatbot says. Replies that wait are
-- SUPERSEDED, and one that is being written disappears from the page. Returns the tickets.
create function conversation_take_over_v1(p_id bigint, p_owner text, p_by text, p_minutes integer default null) returns jsonb
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
    return webhook_emit(jsonb_build_array(owner_event_v1('conversation.assigned', v_chatbot.customer_id, p_id, v_after.channel,
        v_after.external_user_id, p_owner, p_by, v_after.returns_at)));
end $$;

-- The bot has the conversation again. What the customer wrote since the business last did is answered, once, if it is younger than
-- `p_answer_within` seconds: whoever asked while nobody looked still waits. Returns the tickets; null if it was not a person's or closed.
create function conversation_give_back_v1(p_id bigint, p_by text, p_answer_within float8) returns jsonb language plpgsql as $$
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
    return job_follow_up(v_jobs, jsonb_build_array(owner_event_v1('conversation.returned', v_customer.id, p_id, v_after.channel,
        v_after.external_user_id, 'bot', p_by)));
end $$;
