-- Customers change and delete what they wrote, reply to a message, and send pictures several at once.
alter table message
    add column edited_at timestamptz,
    add column revoked_at timestamptz;

create or replace function searched_words_v1(p_conversation_id bigint, p_message_id bigint) returns table (question text, before text)
language plpgsql stable strict rows 1 as $$
declare
    v_last_reply bigint;
    v_last_question bigint;
begin
    select coalesce(reply_to, id) into v_last_reply from message
    where conversation_id = p_conversation_id and role <> 'user' and coalesce(reply_to, id) < p_message_id
    order by id desc limit 1;
    select id into v_last_question from message
    where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= v_last_reply order by id desc limit 1;
    return query select
        -- Of a long text both ends, for the question often stands at the last; and what it replies to.
        (select string_agg(case when length(content) <= 4000 then content else left(content, 2000) || E'\n' || right(content, 2000) end
                || coalesce(E'\n' || left(data #>> '{quoted,text}', 500), ''), E'\n' order by id) from (
            select id, content, data from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= p_message_id
                and id > coalesce(v_last_reply, 0) and revoked_at is null
            order by id desc limit 10) newest),
        (select string_agg(left(content, 2000), E'\n' order by id) from (
            select id, content from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= v_last_question
                and id > coalesce((select coalesce(reply_to, id) from message
                    where conversation_id = p_conversation_id and role <> 'user' and coalesce(reply_to, id) < v_last_question
                    order by id desc limit 1), 0) and revoked_at is null
            order by id desc limit 10) newest);
end $$;

-- ------------------------------------------------------------------------------ what customers do to earlier messages

-- With which debounce a message is answered: pictures that are sent together come one by one, and get one answer.
create function answer_debounce_v1(p_debounce_seconds real, p_is_picture boolean) returns real language sql immutable parallel safe as $$
    select greatest(p_debounce_seconds, case when p_is_picture then 3 end)
$$;

-- incoming-messages -> ai-processing, of a message with media. It waits for them for 10 s, unless media-fetch is through before
-- (answer_now_v1); what it does if they are not there by then is workers/ai.py's.
create function answer_after_media_v1(p_customer_id bigint, p_priority smallint, p_message_id bigint, p_conversation_id bigint,
                                      p_debounce_seconds real) returns jsonb language sql stable as $$
    select answer_job_v1(p_customer_id, p_priority, p_message_id, p_conversation_id, p_debounce_seconds)
        || jsonb_build_object('delay_seconds', greatest(p_debounce_seconds, 10))
$$;

-- The media of a message are there, or will never be: the conversation's next answer need not wait for them, only for its debounce.
-- Not while more of them are being fetched. Returns tickets.
create function answer_now_v1(p_conversation_id bigint, p_fetch_job_id bigint) returns jsonb language sql volatile as $$
    with hurried_answers as (
        update job set run_at = greatest(clock_timestamp(), question.created_at + make_interval(secs => answer_debounce_v1(
            chatbot.debounce_seconds,
            exists (select from media where media.message_id = question.id and media.kind in ('image', 'video')))))
        from message question join chatbot on chatbot.id = question.chatbot_id
        where job.queue = 'ai-processing' and job.ordering_key = p_conversation_id::text and job.closed_at is null
            and job.state = 'delayed' and job.attempts = 0 and question.id = job.message_id
            and not exists (select from job fetching where fetching.queue = 'media-fetch'
                and fetching.ordering_key = p_conversation_id::text and fetching.closed_at is null and fetching.id <> p_fetch_job_id)
        returning job.*
    )
    select coalesce(jsonb_agg(job_ticket(hurried_answers)) filter (where not held), '[]') from hurried_answers
$$;

-- A message's data with the words of the message that it replies to, as far as we have it; what its channel says of it stays.
create function quoted_words_v1(p_chatbot_id bigint, p_channel text, p_data jsonb) returns jsonb language plpgsql stable as $$
declare
    v_id     text := p_data #>> '{quoted,id}';
    v_quoted jsonb;
begin
    select jsonb_build_object('text', left(content, 1000), 'role', role) into v_quoted from (
        select content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'user' and revoked_at is null
        union all
        select content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'assistant'
        union all
        select content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'agent') quoted limit 1;
    return case when v_quoted is null then p_data else jsonb_set(p_data, '{quoted}', p_data -> 'quoted' || v_quoted) end;
end $$;

-- waiting, delayed, active -> delayed for a second: who answers a conversation reads it once more, for it has changed. What an
-- active one comes back with is refused, for its claim is over; and so is a claim that waits for this transaction, and has read the
-- conversation before it. Returns the tickets.
create function job_read_again(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set state = 'delayed', attempts = attempts - (state = 'active')::integer, lease_until = null, claimed_by = null,
        run_at = greatest(run_at, clock_timestamp() + interval '1 second')
    where id = p_id returning * into v_job;
    return case when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- A customer changed what an earlier message says (`p_content`, at `p_sent_at`), or deleted it (null). It is answered as it is now:
--   not saved yet       what is saved is the new text
--   not answered yet    whoever answers it, or a later message with it, reads it once more
--   reply not left yet  the reply is superseded, and the message answered anew; or a later one with it, if that is not answered yet
--   reply left          stays as it is; the model reads the new text with the next message
-- A deleted message that nobody has answered is answered no more. Returns {outcome: 'changed' | 'unchanged' | 'unknown', tickets}:
-- unknown is a message that never came, or is another customer's. Locks jobs, then messages, then ordering keys, as dead letters do.
create function message_change_v1(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_content text, p_data jsonb, p_sent_at float8) returns jsonb language plpgsql as $$
declare
    v_at      timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_job     job;
    v_message message;
    v_reply   message;
    v_tickets jsonb := '[]';
begin
    -- `+ 0` below: the replies of this conversation are few, all newer ones of the index of reply_to are not.
    select * into v_job from job
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null for update;
    if found then
        if p_external_user_id not in ('', v_job.payload ->> 'external_user_id') then
            return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
        end if;
        update job set payload = payload || case when p_content is null then '{"may_answer": false, "is_revoked": true}'
            else jsonb_build_object('content', p_content, 'edited_at', extract(epoch from v_at),
                'metadata', coalesce(payload -> 'metadata', '{}') - 'unsupported',
                'data', coalesce(payload -> 'data', '{}') || coalesce(p_data, '{}')) end
        where id = v_job.id;
        return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
    end if;

    select message.* into v_message from message join conversation on conversation.id = message.conversation_id
    where message.chatbot_id = p_chatbot_id and message.channel = p_channel and message.external_id = p_external_id
      and message.role = 'user' and (p_external_user_id in ('', conversation.external_user_id, message.address) or exists (
        select from contact_identity where chatbot_id = p_chatbot_id and family = contact_family_v1(p_channel)
            and name = contact_name_v1(p_channel, p_external_user_id) and contact_id = conversation.contact_id));
    if not found then
        return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
    elsif v_message.revoked_at is not null or v_message.content = p_content or v_message.edited_at > v_at then
        return jsonb_build_object('outcome', 'unchanged', 'tickets', v_tickets);
    end if;

    -- A reply may be saved, and go from one queue to the next, while its job's row is waited for.
    for v_round in 1..10 loop
        select * into v_reply from message
        where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id order by reply_to + 0 limit 1;
        if not found then
            select * into v_job from job
            where queue = 'ai-processing' and ordering_key = v_message.conversation_id::text and closed_at is null
              and message_id >= v_message.id and state <> 'failed' order by id limit 1 for update;
            continue when not found and exists (
                select from message where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id);
            v_tickets := case when found then job_read_again(v_job.id) else v_tickets end;
        elsif v_reply.status = 'PENDING' then
            select * into v_job from job
            where message_id = v_reply.id and closed_at is null and state <> 'failed' order by id limit 1 for update;
            continue when not found and v_round < 10;
            if found and v_job.state <> 'active' and v_job.outcome_unknown_since is null and not v_reply.metadata ? 'parts_sent' then
                v_tickets := reply_withdraw(v_reply, v_job);
            end if;
        end if;
        exit;
    end loop;

    update message set updated_at = clock_timestamp(),
        content = coalesce(p_content, content), data = data || coalesce(p_data, '{}'),
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end,
        metadata = case when p_content is not null and metadata ? 'unsupported'
            then metadata - 'unsupported' || jsonb_build_object('attachment', metadata -> 'unsupported') else metadata end
    where id = v_message.id;
    if p_content is null then
        update message set data = data #- '{quoted,text}'
        where conversation_id = v_message.conversation_id and data #>> '{quoted,id}' = p_external_id;
    end if;
    return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
end $$;

-- A reply that has not left, and whose job the caller has locked, leaves no more; its question is answered anew. Its tokens stay
-- booked. Returns the tickets.
create function reply_withdraw(p_reply message, p_job job) returns jsonb language plpgsql as $$
declare
    v_next    bigint;
    v_tickets jsonb := '[]';
begin
    select id into v_next from job
    where queue = 'ai-processing' and ordering_key = p_reply.conversation_id::text and closed_at is null
      and message_id > p_reply.reply_to and state <> 'failed' order by id limit 1 for update;
    update message set status = 'SUPERSEDED', reply_to = null, updated_at = clock_timestamp(),
        metadata = metadata || jsonb_build_object('superseded_by', 'edit', 'question_id', p_reply.reply_to)
    where id = p_reply.id;
    perform job_lock(p_job.queue, array[p_job.ordering_key]);
    update job set state = 'completed', closed_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
        held = false, run_at = null
    where id = p_job.id;
    v_tickets := case when p_job.held then '[]'::jsonb else job_unhold_next(p_job.queue, array[p_job.ordering_key]) end;
    if v_next is not null then
        return v_tickets || job_read_again(v_next);
    end if;
    return v_tickets || (
        select job_add_v1(jsonb_build_array(
            answer_job_v1(customer.id, customer.priority, p_reply.reply_to, p_reply.conversation_id, 0)))
        from chatbot join customer on customer.id = chatbot.customer_id where chatbot.id = p_reply.chatbot_id);
end $$;
