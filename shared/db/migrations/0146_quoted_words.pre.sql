-- What a channel tells of a quoted message is kept where we do not have that message, and not where it was deleted.
create function quoted_words_v2(p_chatbot_id bigint, p_channel text, p_data jsonb) returns jsonb language plpgsql stable as $$
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
    return case when v_quoted is null then p_data when v_quoted ->> 'text' is null then p_data #- '{quoted,text}'
        else jsonb_set(p_data, '{quoted}', p_data -> 'quoted' || v_quoted) end;
end $$;
