-- The desk's inbox: whose a conversation is, notes, quick replies.
alter table conversation
    add column active_at timestamptz not null default now(),
    add column assigned_to bigint,
    add constraint conversation_assigned check (assigned_to is null or owner = 'person');
update conversation set active_at = updated_at;
create index conversation_inbox_idx on conversation (chatbot_id, owner, active_at desc, id desc);
create index conversation_assigned_idx on conversation (assigned_to) where assigned_to is not null;
alter table conversation add constraint conversation_assigned_to_fkey foreign key (assigned_to) references app_user on delete set null;

-- What colleagues tell each other in a conversation; customers and models never see it.
create table conversation_note (
    id              bigint generated always as identity primary key,
    conversation_id bigint not null references conversation on delete cascade,
    user_id         bigint references app_user on delete set null,
    author          text not null check (author <> '' and length(author) <= 200), -- personal data; the name of then
    content         text not null check (content <> '' and length(content) <= 10000), -- personal data
    created_at      timestamptz not null default now()
);
create index conversation_note_idx on conversation_note (conversation_id, id);

-- Answers that a business's people use often: `/hours` in the composer.
create table quick_reply (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    shortcut    text not null check (shortcut ~ '^[a-z0-9_-]{1,40}$'),
    content     text not null check (content <> '' and length(content) <= 4000),
    updated_at  timestamptz not null default now(),
    unique (customer_id, shortcut)
);

-- When somebody last wrote in a conversation (active_at), if somebody writes now.
create function active_at_v1(p_active_at timestamptz) returns timestamptz language sql stable parallel safe as $$
    select case when p_active_at > now() - interval '5 minutes' then p_active_at else now() end
$$;

-- Somebody at the desk takes a conversation, or gives it to a colleague (`p_user_id`). Not from another one, unless that is the one who
-- gives (`p_from`). Returns {tickets}, or {taken_by: user} where somebody was faster.
create function conversation_take_v1(p_id bigint, p_user_id bigint, p_from bigint default null) returns jsonb language plpgsql as $$
declare
    v_before  conversation;
    v_tickets jsonb;
begin
    select * into v_before from conversation where id = p_id for no key update;
    if v_before.assigned_to is not null and v_before.assigned_to not in (p_user_id, coalesce(p_from, p_user_id)) then
        return jsonb_build_object('taken_by', v_before.assigned_to);
    end if;
    v_tickets := conversation_take_over_v1(p_id, 'person', 'desk');
    update conversation set assigned_to = p_user_id where id = p_id;
    if v_before.owner = 'person' and v_before.handed_over_at is null -- of that conversation_take_over_v1 tells nobody
        and v_before.assigned_to is distinct from p_user_id then
        select webhook_emit(jsonb_build_array(owner_event_v1('conversation.assigned', chatbot.customer_id, chatbot.id, p_id,
            v_before.channel, v_before.external_user_id, 'person', 'desk', conversation.returns_at))) into v_tickets
        from conversation join chatbot on chatbot.id = conversation.chatbot_id where conversation.id = p_id;
    end if;
    return jsonb_build_object('tickets', v_tickets);
end $$;

-- Makes a conversation a part of another one of the same person and channel. Its messages go over, and remember their address.
-- Its open jobs stand in line behind the other's; only where both have one in progress do these two end side by side. Whoever is
-- about to save a message or a reply into it finds it gone (foreign key), and looks again where its question is now.
create or replace function conversation_merge(p_from bigint, p_into bigint) returns void language plpgsql as $$
declare
    v_from     conversation;
    v_into     conversation;
    v_queue    text;
    v_has_head boolean;
begin
    select * into v_from from conversation where id = p_from for update;
    select * into v_into from conversation where id = p_into for no key update;
    for v_queue in select unnest(array['media-fetch', 'ai-processing', 'outgoing-messages', send_queue]) from channel
                   where name = v_from.channel loop
        continue when v_queue is null;
        perform job_lock(v_queue, array[p_from::text, p_into::text]);
        v_has_head := (select true from job where queue = v_queue and ordering_key = p_into::text
                                              and closed_at is null and not held) is not null;
        update job set ordering_key = p_into::text, held = held or v_has_head,
            payload = payload || case when payload ? 'conversation_id' then jsonb_build_object('conversation_id', p_into)
                                      else '{}' end
        where queue = v_queue and ordering_key = p_from::text and closed_at is null
          and (held or not v_has_head or state in ('waiting', 'delayed'));
    end loop;
    update message set conversation_id = p_into, address = coalesce(address, v_from.external_user_id),
        -- The same key means the message that the surviving conversation has.
        idempotency_key = case when not exists (
            select from message other where other.conversation_id = p_into and other.idempotency_key = message.idempotency_key)
            then idempotency_key end
    where conversation_id = p_from;
    update conversation_note set conversation_id = p_into where conversation_id = p_from;
    -- A person who has one of them has both; if both had one, the later time to go back counts. Else one that is open stays open.
    if v_from.owner = v_into.owner then
        v_into.owner_since := greatest(v_into.owner_since, v_from.owner_since);
        if v_into.returns_at < v_from.returns_at or v_from.returns_at is null then
            v_into.returns_at := v_from.returns_at;
            v_into.return_after_minutes := v_from.return_after_minutes;
        end if;
    elsif v_from.owner = 'person' or v_into.owner = 'closed' then
        v_into.owner := v_from.owner;
        v_into.owner_since := v_from.owner_since;
        v_into.returns_at := v_from.returns_at;
        v_into.return_after_minutes := v_from.return_after_minutes;
    end if;
    update conversation set
        owner = v_into.owner,
        owner_since = v_into.owner_since,
        returns_at = v_into.returns_at,
        return_after_minutes = v_into.return_after_minutes,
        created_at = least(created_at, v_from.created_at),
        updated_at = greatest(updated_at, v_from.updated_at),
        revision = greatest(revision, v_from.revision),
        braked_until = greatest(braked_until, v_from.braked_until),
        brakes = greatest(brakes, v_from.brakes),
        handed_over_at = case when handed_over_at > v_from.handed_over_at then handed_over_at
                              else coalesce(v_from.handed_over_at, handed_over_at) end,
        handover_reason = case when handed_over_at > v_from.handed_over_at then handover_reason
                               else coalesce(v_from.handover_reason, handover_reason) end,
        window_ends_at = greatest(window_ends_at, v_from.window_ends_at),
        context_after = greatest(context_after, v_from.context_after),
        active_at = greatest(active_at, v_from.active_at),
        assigned_to = case when v_into.owner = 'person' then coalesce(assigned_to, v_from.assigned_to) end
    where id = p_into;
    update merged_conversation set conversation_id = p_into where conversation_id = p_from;
    insert into merged_conversation (id, conversation_id) values (p_from, p_into);
    delete from conversation where id = p_from;
end $$;

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
        returns_at = clock_timestamp() + make_interval(mins => v_minutes), updated_at = clock_timestamp(),
        active_at = active_at_v1(active_at), assigned_to = case when p_owner = 'person' then assigned_to end
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
        handed_over_at = null, handover_reason = null, assigned_to = null
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
