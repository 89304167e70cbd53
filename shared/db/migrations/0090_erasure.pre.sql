-- Persons can be erased, and messages are kept for as long as their business wants.
alter table customer
    add column keep_messages_days integer check (keep_messages_days = 0 or keep_messages_days between 7 and 36500),
    add column keep_media_days integer check (keep_media_days between 0 and 36500);

-- Each business says for how long its files are kept.
drop index media_stored_idx;
create index media_kept_idx on media (customer_id, created_at) where state = 'stored'; -- retention

-- What is left of an erased person for some days (shared/privacy/marks.py): a keyed hash of each of their names and of their messages'
-- ids, by which a provider's second delivery is recognised. The key is not in the database, so nobody finds a person by it.
create table tombstone (
    mark       text primary key check (mark ~ '^[0-9a-f]{64}$'),
    -- A message's own id. Null: the mark is a name's.
    message_id bigint,
    erased_at  timestamptz not null
);
create index tombstone_erased_idx on tombstone (erased_at); -- prune

-- The same, but for what an erased person wrote before that, and is delivered again: it is accepted no more. `p_marks`: of the message's
-- id and of its author's name. By its name what was written before the erasure counts; and what a colleague's phone reports within
-- two minutes of it, for that may be the echo of a reply that was on its way. Called under the lock of the message's ordering key.
create function message_accept_v2(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_payload jsonb, p_marks text[]) returns jsonb language plpgsql as $$
declare
    v_sent_at timestamptz := to_timestamp((p_payload ->> 'sent_at')::float8);
    v_id      bigint;
begin
    select coalesce(message_id, nextval(pg_get_serial_sequence('message', 'id'))) into v_id from tombstone
    where mark = any (p_marks) and (message_id is not null or v_sent_at < date_trunc('second', erased_at)
        or p_payload ->> 'author' = 'colleague' and clock_timestamp() < erased_at + interval '2 minutes')
    limit 1;
    if found then
        return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
    end if;
    return message_accept_v1(p_chatbot_id, p_channel, p_external_user_id, p_external_id, p_payload);
end $$;
