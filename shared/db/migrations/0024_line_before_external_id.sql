-- Messages are accepted many at a time, in the order of their lines; a lock that comes before a line's lets two of them
-- wait for each other.
create or replace function message_accept(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                               p_payload jsonb) returns jsonb language plpgsql as $$
declare
    v_customer bigint := (select customer_id from chatbot where id = p_chatbot_id);
    v_dedup    text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
    v_line     text := p_chatbot_id || ':' || p_channel || ':' || p_external_user_id;
    v_id       bigint;
begin
    if v_customer is null then
        return null;
    end if;
    -- Before the number: of two that come at once, the lower number stands first in line, and is answered first. And before
    -- the external id: who accepts many goes through lines in their order, and two of them never wait for each other.
    perform job_lock('incoming-messages', array[v_line]);
    if p_external_id is null then
        v_dedup := null;
    else
        perform pg_advisory_xact_lock(hashtextextended(v_dedup, 1));
        select id into v_id from message where chatbot_id = p_chatbot_id and channel = p_channel
                                           and external_id = p_external_id and role = 'user';
        if not found then
            select message_id into v_id from job where dedup_key = v_dedup;
        end if;
        if v_id is not null then
            return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
        end if;
    end if;
    v_id := nextval(pg_get_serial_sequence('message', 'id'));
    return jsonb_build_object('message_id', v_id, 'accepted', true, 'tickets', job_add(jsonb_build_array(jsonb_build_object(
        'queue', 'incoming-messages', 'customer_id', v_customer, 'message_id', v_id, 'dedup_key', v_dedup,
        'ordering_key', v_line,
        'payload', p_payload || jsonb_build_object('message_id', v_id)))));
end $$;
