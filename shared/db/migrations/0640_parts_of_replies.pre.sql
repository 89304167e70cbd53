-- A long reply leaves in parts, each with an id of its own: a reaction to any of them is kept with the reply, and a quote of it has words.

-- The ids of the parts of a long reply but the last, which has the reply's own; customers react to them and quote them. Not in
-- `metadata`: with an index of that each status of a reply would rewrite all indexes (no HOT update).
alter table message add column part_ids text[];
-- No fastupdate: each look would first read the whole list of what is not in the index's order yet.
create index message_parts_idx on message using gin (part_ids) with (fastupdate = off) where part_ids is not null;

-- A message's data with the words of the message that it replies to, as far as we have it; else what its channel says of it stays,
-- but of a message that was deleted, also before it came. Of a long reply, whose part it may be, the channel's words come first.
create function quoted_words_v5(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_data jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_id     text := p_data #>> '{quoted,id}';
    v_said   text := nullif(p_data #>> '{quoted,text}', '');
    v_quoted jsonb;
begin
    select jsonb_build_object('text', left(content, 1000), 'role', role) into v_quoted from (
        select case when revoked_at is null then content end as content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'user'
        union all
        select case when revoked_at is null then coalesce(case when part_ids is not null then v_said end, content) end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'assistant'
        union all
        select case when revoked_at is null then content end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'agent'
        union all
        select case when revoked_at is null then coalesce(v_said, content) end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and part_ids @> array[v_id]
    ) quoted limit 1;
    if v_quoted is null and exists (
        select from parked_change
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and content is null
            and is_same_person(p_chatbot_id, p_channel, names, array[p_external_user_id])) then
        return p_data #- '{quoted,text}';
    end if;
    return case when v_quoted is null then p_data when v_quoted ->> 'text' is null then p_data #- '{quoted,text}'
        else jsonb_set(p_data, '{quoted}', p_data -> 'quoted' || v_quoted) end;
end $$;
