-- Handing over: its reasons are fixed, chatbots say when, and people have hours.
-- When a business is open (chatbot.opening_hours): for days of the week a list of [from, to], in order and within the day.
create function opening_hours_are_valid(p_hours jsonb) returns boolean language sql immutable parallel safe as $$
    select p_hours is null or jsonb_typeof(p_hours) = 'object' and p_hours <> '{}'
        and (p_hours - '{mon,tue,wed,thu,fri,sat,sun}'::text[]) = '{}'
        and not exists (select from jsonb_each(p_hours) day where not jsonb_path_match(value,
            '$.type() == "array" && $.size() >= 1 && $.size() <= 8'))
        and not exists (
            select from jsonb_each(p_hours) day, jsonb_array_elements(value) span
            where not coalesce(span ->> 0 ~ '^([01]\d|2[0-3]):[0-5]\d$' and span ->> 1 ~ '^(([01]\d|2[0-3]):[0-5]\d|24:00)$'
                and jsonb_array_length(span) = 2 and (span ->> 0) < (span ->> 1), false))
$$;

-- The first moment from `p_at` on at which it is open: `p_at` itself, if it is open then.
create function opens_at_v1(p_hours jsonb, p_time_zone text, p_at timestamptz) returns timestamptz language sql stable as $$
    select case when p_hours is null then p_at else (
        select min(greatest(p_at, (day + (span ->> 0)::time) at time zone p_time_zone))
        from (select (p_at at time zone p_time_zone)::date + n as day from generate_series(0, 7) n) week,
            jsonb_array_elements(p_hours -> lower(to_char(day, 'dy'))) span
        where (day + (span ->> 1)::time) at time zone p_time_zone > p_at) end
$$;

alter table chatbot
    add column no_answer_hands_over_after smallint not null default 1 check (no_answer_hands_over_after between 1 and 10),
    add column fallback_hands_over boolean not null default true,
    add column opening_hours jsonb check (opening_hours_are_valid(opening_hours)),
    add column time_zone text not null default 'UTC' check (timezone(time_zone, timestamptz '2000-01-01') is not null),
    add column closed_hands_over boolean not null default false,
    add column closed_message text check (closed_message <> '');
alter table conversation add column context_after bigint;
create index conversation_waiting_idx on conversation (chatbot_id, handed_over_at) where handed_over_at is not null;

-- Hands a conversation of the bot's over to a person, for one of the fixed reasons (conversation_handover_reason), and tells the
-- business: the bot is silent until one has answered, or nobody came for the chatbot's minutes, which begin when people are there. Call
-- it before the statement's job ends, for whoever has the conversation's row waits for ordering keys. `p_reply_to`: the message because of
-- which. `p_tells`: tell the customer in the chatbot's words, else the caller's reply does, which leaves if it is of this transaction
-- (reply_may_leave_v1). Returns the tickets: none if the conversation is not the bot's.
create function hand_over_v1(p_conversation_id bigint, p_reason text, p_reply_to bigint default null, p_tells boolean default true)
returns jsonb language plpgsql as $$
declare
    v_chatbot   chatbot;
    v_opens_at  timestamptz;
    v_after     conversation;
    v_notice_id bigint;
    v_jobs      jsonb := '[]';
begin
    select chatbot.* into v_chatbot from chatbot join conversation on conversation.chatbot_id = chatbot.id
    where conversation.id = p_conversation_id;
    v_opens_at := opens_at_v1(v_chatbot.opening_hours, v_chatbot.time_zone, now());
    update conversation set owner = 'person', owner_since = now(), handed_over_at = now(), handover_reason = p_reason,
        return_after_minutes = nullif(v_chatbot.return_after_minutes, 0),
        returns_at = v_opens_at + make_interval(mins => nullif(v_chatbot.return_after_minutes, 0)),
        -- What made the model hand over would make it do so again, once it has the conversation back.
        context_after = case when p_reason not in ('asked', 'misses', 'loop', 'rule') then context_after
            else coalesce(p_reply_to, (select max(id) from message where conversation_id = p_conversation_id), context_after) end
    where id = p_conversation_id and owner = 'bot' returning * into v_after;
    if not found then
        return '[]';
    end if;
    if p_tells and v_chatbot.handover_message is not null then
        insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata, address)
        values (p_conversation_id, v_after.chatbot_id, v_after.channel, 'assistant',
            case when v_opens_at > now() then coalesce(v_chatbot.closed_message, v_chatbot.handover_message)
                 else v_chatbot.handover_message end,
            'PENDING', p_reply_to, jsonb_build_object('handoff', p_reason),
            (select address from message where conversation_id = p_conversation_id and role = 'user' order by id desc limit 1))
        on conflict (reply_to) where reply_to is not null do nothing returning id into v_notice_id;
        if v_notice_id is not null then
            perform job_lock('ai-processing', array[p_conversation_id::text]); -- keys are locked in the order of the stages
            v_jobs := jsonb_build_array(outgoing_job_v1(v_chatbot.customer_id, v_notice_id, p_conversation_id, v_after.channel));
        end if;
    end if;
    return job_follow_up(v_jobs, jsonb_build_array(
        conversation_event_v1('conversation.handoff', v_chatbot.customer_id, v_chatbot.id, p_conversation_id, v_after.channel,
            v_after.external_user_id, jsonb_build_object('message_id', p_reply_to, 'reason', p_reason)),
        owner_event_v1('conversation.assigned', v_chatbot.customer_id, v_chatbot.id, p_conversation_id, v_after.channel,
            v_after.external_user_id, 'person', 'bot', v_after.returns_at)));
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
        context_after = greatest(context_after, v_from.context_after)
    where id = p_into;
    update merged_conversation set conversation_id = p_into where conversation_id = p_from;
    insert into merged_conversation (id, conversation_id) values (p_from, p_into);
    delete from conversation where id = p_from;
end $$;
