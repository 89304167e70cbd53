-- What was done to a message that comes later is kept, and applied when it comes.
-- What was done to a message that has not come yet: it is applied when the message is accepted, and forgotten after some days
-- (shared/channels/changes.py).
create table parked_change (
    chatbot_id  bigint not null references chatbot on delete cascade,
    channel     text not null references channel,
    external_id text not null check (external_id <> ''),
    -- Of who did it: all that the channel told. None: it told only which message.
    names       text[] not null,
    -- What the message says from then on. Null: it was deleted.
    content     text,
    data        jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    changed_at  timestamptz not null,
    received_at timestamptz not null default now(),
    primary key (chatbot_id, channel, external_id)
);
create index parked_change_received_idx on parked_change (received_at);

-- Who quotes a message, so that a deletion is one of its quotes as well.
create index message_quoted_idx on message (chatbot_id, channel, (data #>> '{quoted,id}')) where data ? 'quoted';

-- A message's data with the words of the message that it replies to, as far as we have it; else what its channel says of it stays,
-- but of a message that was deleted, also before it came.
create function quoted_words_v3(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_data jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_id     text := p_data #>> '{quoted,id}';
    v_quoted jsonb;
begin
    select jsonb_build_object('text', left(content, 1000), 'role', role) into v_quoted from (
        select case when revoked_at is null then content end as content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'user'
        union all
        select content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'assistant'
        union all
        select content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'agent') quoted limit 1;
    if v_quoted is null and exists (
        select from parked_change
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and content is null
            and is_same_person(p_chatbot_id, p_channel, names, array[p_external_user_id])) then
        return p_data #- '{quoted,text}';
    end if;
    return case when v_quoted is null then p_data when v_quoted ->> 'text' is null then p_data #- '{quoted,text}'
        else jsonb_set(p_data, '{quoted}', p_data -> 'quoted' || v_quoted) end;
end $$;

-- Whether one of these names is one of those, or one person has both. No names: the channel did not say who it was, but which message.
create function is_same_person(p_chatbot_id bigint, p_channel text, p_names text[], p_others text[]) returns boolean
language sql stable as $$
    with names as (select contact_name_v1(p_channel, name) as name from unnest(p_names) name),
        others as (select contact_name_v1(p_channel, name) as name from unnest(p_others) name where name is not null)
    select p_names = '{}' or exists (select from names join others using (name)) or exists (
        select from contact_identity named join contact_identity other using (chatbot_id, family, contact_id)
        where chatbot_id = p_chatbot_id and family = contact_family_v1(p_channel)
            and named.name = any (array(select name from names)) and other.name = any (array(select name from others)))
$$;

-- What a message says that is not saved yet, after a change: the payload of its job.
create function payload_changed(p_payload jsonb, p_content text, p_data jsonb, p_at timestamptz) returns jsonb
language sql stable as $$
    select case when (p_payload ->> 'is_revoked')::boolean or p_content is not null
            and (p_payload ->> 'edited_at')::float8 > extract(epoch from p_at) then p_payload
        when p_content is null then p_payload || '{"may_answer": false, "is_revoked": true}'
        else p_payload || jsonb_build_object('content', p_content, 'edited_at', extract(epoch from p_at),
            'metadata', coalesce(p_payload -> 'metadata', '{}') - 'unsupported',
            'data', coalesce(p_payload -> 'data', '{}') || p_data) end
$$;

-- What its author deleted is quoted no more, by messages that are saved and by those that are not yet.
create function quotes_remove_v2(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text) returns void
language plpgsql as $$
begin
    if p_names = '{}' then
        update job set payload = payload #- '{data,quoted,text}'
        where queue = 'incoming-messages' and closed_at is null and id > 0 and payload #>> '{data,quoted,id}' = p_external_id
          and payload ->> 'chatbot_id' = p_chatbot_id::text and payload ->> 'channel' = p_channel;
    else
        update job set payload = payload #- '{data,quoted,text}'
        where queue = 'incoming-messages' and closed_at is null and payload #>> '{data,quoted,id}' = p_external_id
          and ordering_key = any (array(select p_chatbot_id || ':' || p_channel || ':' || name from unnest(p_names) name));
    end if;
    update message set data = message.data #- '{quoted,text}' from conversation
    where message.chatbot_id = p_chatbot_id and message.channel = p_channel and message.data ? 'quoted'
      and message.data #>> '{quoted,id}' = p_external_id and message.data #> '{quoted,text}' is not null
      and conversation.id = message.conversation_id
      and is_same_person(p_chatbot_id, p_channel, p_names, array[conversation.external_user_id, message.address]);
end $$;

-- Keeps a change of a message that has not come. False: it has come meanwhile, or was there all the time. Under the lock that is held by
-- whoever accepts this message, and waiting for nobody while it has it. What is kept once stays so: a deletion, or the newest text. Of a
-- chatbot's, 10,000 are kept: more than people change, whatever a gateway reports.
create function change_park(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text, p_data jsonb,
                            p_at timestamptz) returns boolean language plpgsql as $$
declare
    v_dedup_key text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
begin
    perform pg_advisory_xact_lock(hashtextextended(v_dedup_key, 1));
    if exists (select from job where dedup_key = v_dedup_key and closed_at is null) or exists (
        select from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'user') then
        return false;
    end if;
    insert into parked_change as parked (chatbot_id, channel, external_id, names, content, data, changed_at)
    select p_chatbot_id, p_channel, p_external_id, p_names, p_content, p_data, p_at
    where (select count(*) from (select from parked_change where chatbot_id = p_chatbot_id limit 10000) kept) < 10000
    on conflict (chatbot_id, channel, external_id) do update set
        content = excluded.content, data = excluded.data, changed_at = excluded.changed_at
        where parked.content is not null and (excluded.content is null or excluded.changed_at >= parked.changed_at);
    return true;
end $$;

-- A customer changed what an earlier message says (`p_content`, at `p_sent_at`), or deleted it (null). It is answered as it is now:
--   not come yet        the change is kept until it comes, where `p_is_kept` says so
--   not saved yet       what is saved is the new text
--   not answered yet    whoever answers it, or a later message with it, reads it once more
--   reply not left yet  the reply is superseded, and the message answered anew; or a later one with it, if that is not answered yet
--   reply left          stays as it is; the model reads the new text with the next message
-- A deleted message that nobody has answered is answered no more. `p_names`: of who did it; none where the channel did not say.
-- `p_marks`: of the message, by which one is known whose author was erased. Returns {outcome, tickets}:
--   changed, unchanged
--   kept      until it comes
--   unknown   it has not come and is not kept; or it is no customer's
--   foreign   it is another customer's
--   again     it came at this moment: to be called again
-- What its customer deleted is quoted no more in any case. Locks jobs, then messages, then ordering keys, as dead letters do.
create function message_change_v3(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text,
                                  p_data jsonb, p_sent_at float8, p_is_kept boolean, p_marks text[])
returns jsonb language plpgsql as $$
declare
    v_at      timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_data    jsonb := coalesce(p_data, '{}');
    v_job     job;
    v_message message;
    v_reply   message;
    v_is_ours boolean;
    v_tickets jsonb := '[]';
begin
    -- `+ 0` below: the replies of this conversation are few, all newer ones of the index of reply_to are not.
    select * into v_job from job
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null for update;
    if found then
        if not is_same_person(p_chatbot_id, p_channel, p_names, array(
                select v_job.payload ->> 'external_user_id'
                union all select jsonb_array_elements_text(coalesce(v_job.payload -> 'identities', '[]')))) then
            return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
        end if;
        update job set payload = payload_changed(payload, p_content, v_data, v_at) where id = v_job.id;
        return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
    end if;

    select message.* into v_message from message
    where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'user';
    if not found then
        v_is_ours := exists (
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'assistant'
            union all
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'agent');
        if v_is_ours or exists (select from tombstone where mark = any (p_marks)) then
            return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
        end if;
        if p_content is null then
            perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
        end if;
        return jsonb_build_object('tickets', v_tickets, 'outcome', case when not p_is_kept then 'unknown'
            when change_park(p_chatbot_id, p_channel, p_names, p_external_id, p_content, v_data, v_at) then 'kept' else 'again' end);
    elsif not is_same_person(p_chatbot_id, p_channel, p_names, array[v_message.address, (
            select external_user_id from conversation where id = v_message.conversation_id)]) then
        return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
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
        content = coalesce(p_content, content), data = data || v_data,
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end,
        metadata = case when p_content is not null and metadata ? 'unsupported'
            then metadata - 'unsupported' || jsonb_build_object('attachment', metadata -> 'unsupported') else metadata end
    where id = v_message.id;
    if p_content is null then
        perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
    end if;
    return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
end $$;

-- The same, but for what an erased person wrote before that, and is delivered again: it is accepted no more. `p_marks`: of the message's
-- id and of its author's name. By its name what was written before the erasure counts; and what a colleague's phone reports within
-- two minutes of it, for that may be the echo of a reply that was on its way. Called under the lock of the message's ordering key.
-- What its customer did to the message before it came (parked_change) is done to it now.
create function message_accept_v3(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_payload jsonb, p_marks text[]) returns jsonb language plpgsql as $$
declare
    v_sent_at timestamptz := to_timestamp((p_payload ->> 'sent_at')::float8);
    v_id      bigint;
    v_answer  jsonb;
    v_change  parked_change;
begin
    select coalesce(message_id, nextval(pg_get_serial_sequence('message', 'id'))) into v_id from tombstone
    where mark = any (p_marks) and (message_id is not null or v_sent_at < date_trunc('second', erased_at)
        or p_payload ->> 'author' = 'colleague' and clock_timestamp() < erased_at + interval '2 minutes')
    limit 1;
    if found then
        return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
    end if;
    v_answer := message_accept_v1(p_chatbot_id, p_channel, p_external_user_id, p_external_id, p_payload);
    if p_external_id is not null and (v_answer ->> 'accepted')::boolean then
        -- Both have the lock of this id until they commit, so that neither misses the other.
        delete from parked_change
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
            and p_payload ->> 'author' is distinct from 'colleague'
            and is_same_person(p_chatbot_id, p_channel, names, array(
                select p_external_user_id
                union all select jsonb_array_elements_text(coalesce(p_payload -> 'identities', '[]'))))
        returning * into v_change;
        if found then
            update job set payload = payload_changed(payload, v_change.content, v_change.data, v_change.changed_at)
            where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
        end if;
    end if;
    return v_answer;
end $$;
