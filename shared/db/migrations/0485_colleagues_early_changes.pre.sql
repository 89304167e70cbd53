-- What a colleague does on the phone to a message of their own that has not come yet is kept until it comes, as a customer's is; and what
-- they delete is quoted no more.
alter table parked_change add column by_colleague boolean not null default false;

-- The same, but for what an erased person wrote before that, and is delivered again: it is accepted no more. `p_marks`: of the message's
-- id and of its author's name. By its name what was written before the erasure counts; and what a colleague's phone reports within
-- two minutes of it, for that may be the echo of a reply that was on its way. Called under the lock of the message's ordering key.
-- What its author did to the message before it came (parked_change) is done to it now. What a colleague deleted takes the conversation
-- over all the same, as if it had come before.
create function message_accept_v4(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
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
            and case when p_payload ->> 'author' = 'colleague' then by_colleague or names = '{}'
                else not by_colleague and is_same_person(p_chatbot_id, p_channel, names, array(
                    select p_external_user_id
                    union all select jsonb_array_elements_text(coalesce(p_payload -> 'identities', '[]')))) end
        returning * into v_change;
        if found then
            update job set payload = case
                when v_change.content is null and payload ->> 'author' = 'colleague' then payload || '{"is_revoked": true}'
                else payload_changed(payload, v_change.content, v_change.data, v_change.changed_at) end
            where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
        end if;
    end if;
    return v_answer;
end $$;

-- A message's data with the words of the message that it replies to, as far as we have it; else what its channel says of it stays,
-- but of a message that was deleted, also before it came.
create function quoted_words_v4(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_data jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_id     text := p_data #>> '{quoted,id}';
    v_quoted jsonb;
begin
    select jsonb_build_object('text', left(content, 1000), 'role', role) into v_quoted from (
        select case when revoked_at is null then content end as content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'user'
        union all
        select case when revoked_at is null then content end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'assistant'
        union all
        select case when revoked_at is null then content end, role from message
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

-- Somebody of the business changed on the phone what the business had said there (`p_content`, at `p_sent_at`), or deleted it (null):
-- what a colleague wrote, or a reply of the bot's. The model, and people, read what the customer reads now; what was said since stays,
-- but the words of what was deleted are quoted no more. A reply of several parts stays as it is, for only one of them was changed.
-- `p_names`: of the customer whose chat it is, as far as they were told; `p_marks`: of the message, by which one is known whose customer
-- was erased. Returns
--   changed
--   kept      the message has not come; the change is kept until it does
--   unknown   it is the customer's, was so before, or was erased
--   again     somebody else was at work on the same row; to be called again
-- Under the lock that is held by whoever accepts this message, so that neither misses the other.
create function own_message_change_v2(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text,
                                      p_sent_at float8, p_marks text[])
returns text language plpgsql set lock_timeout = '100ms' as $$
declare
    v_at        timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_dedup_key text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
begin
    perform pg_advisory_xact_lock(hashtextextended(v_dedup_key, 1));
    update job set payload = case when p_content is null then payload || '{"is_revoked": true}'
        else payload_changed(payload, p_content, '{}', v_at) end
    where dedup_key = v_dedup_key and closed_at is null and payload ->> 'author' = 'colleague';
    if found then
        return 'changed';
    end if;
    -- A part for each role, which has its own index.
    update message set updated_at = clock_timestamp(), content = coalesce(p_content, content),
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end
    where id = any (array(
            select id from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'agent'
            union all
            select id from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'assistant'))
      and revoked_at is null and content is distinct from p_content and not coalesce(edited_at > v_at, false)
      and not metadata ? 'parts_sent';
    if found then
        if p_content is null then
            perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
        end if;
        return 'changed';
    elsif exists (select from job where dedup_key = v_dedup_key and closed_at is null)
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'agent')
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'assistant')
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'user')
        or exists (select from tombstone where mark = any (p_marks)) then
        return 'unknown';
    end if;
    insert into parked_change as parked (chatbot_id, channel, external_id, names, content, changed_at, by_colleague)
    select p_chatbot_id, p_channel, p_external_id, p_names, p_content, v_at, true
    where (select count(*) from (select from parked_change where chatbot_id = p_chatbot_id limit 10000) kept) < 10000
    on conflict (chatbot_id, channel, external_id) do update set
        names = excluded.names, content = excluded.content, changed_at = excluded.changed_at, by_colleague = true
        where parked.content is not null and (excluded.content is null or excluded.changed_at >= parked.changed_at);
    return 'kept';
exception when lock_not_available then
    return 'again';
end $$;
