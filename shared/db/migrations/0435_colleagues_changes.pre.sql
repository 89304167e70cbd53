-- Somebody of the business changed on the phone what the business had said there (`p_content`, at `p_sent_at`), or deleted it (null):
-- what a colleague wrote, or a reply of the bot's. The model, and people, read what the customer reads now; what was said since stays.
-- A reply of several parts stays as it is, for only one of them was changed. Returns changed; unknown: there is no such message, or it
-- was so before; again: somebody else was at work on the same row, to be called again.
create function own_message_change_v1(p_chatbot_id bigint, p_channel text, p_external_id text, p_content text, p_sent_at float8)
returns text language plpgsql set lock_timeout = '100ms' as $$
declare
    v_at timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
begin
    update job set payload = payload_changed(payload, p_content, '{}', v_at)
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null
      and payload ->> 'author' = 'colleague';
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
    return case when found then 'changed' else 'unknown' end;
exception when lock_not_available then
    return 'again';
end $$;
