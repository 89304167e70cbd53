-- Somebody takes a conversation, or gives it to a colleague (`p_user_id`). Not from another one, unless that is the one who gives
-- (`p_from`). `p_by`: desk or api. `p_minutes`: as of conversation_take_over_v1. Returns {tickets}, or {taken_by: user} where somebody
-- was faster.
create function conversation_take_v2(p_id bigint, p_user_id bigint, p_from bigint, p_by text, p_minutes integer) returns jsonb
language plpgsql as $$
declare
    v_before  conversation;
    v_tickets jsonb;
begin
    select * into v_before from conversation where id = p_id for no key update;
    if v_before.assigned_to is not null and v_before.assigned_to not in (p_user_id, coalesce(p_from, p_user_id)) then
        return jsonb_build_object('taken_by', v_before.assigned_to);
    end if;
    v_tickets := conversation_take_over_v1(p_id, 'person', p_by, p_minutes);
    update conversation set assigned_to = p_user_id where id = p_id;
    if v_before.owner = 'person' and v_before.handed_over_at is null -- of that conversation_take_over_v1 tells nobody
        and v_before.assigned_to is distinct from p_user_id then
        select webhook_emit(jsonb_build_array(owner_event_v1('conversation.assigned', chatbot.customer_id, chatbot.id, p_id,
            v_before.channel, v_before.external_user_id, 'person', p_by, conversation.returns_at))) into v_tickets
        from conversation join chatbot on chatbot.id = conversation.chatbot_id where conversation.id = p_id;
    end if;
    return jsonb_build_object('tickets', v_tickets);
end $$;
