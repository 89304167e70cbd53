-- The job that answers what the customer wrote last, in an array: empty if the conversation is not the bot's, if that was answered, or is
-- being, or is older than `p_answer_within` seconds.
create function question_jobs_v1(p_conversation_id bigint, p_answer_within float8) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(answer_job_v1(customer.id, customer.priority, question.id, conversation.id, 0)), '[]')
    from conversation join chatbot on chatbot.id = conversation.chatbot_id join customer on customer.id = chatbot.customer_id,
        lateral (select * from message where conversation_id = conversation.id and role not in ('assistant', 'agent')
                 order by id desc limit 1) question
    where conversation.id = p_conversation_id and owner = 'bot'
        and question.created_at > now() - make_interval(secs => p_answer_within)
        and (not question.metadata ? 'kept' or question.metadata ? 'standby') and not exists (
            select from message where conversation_id = conversation.id and role <> 'user' and status not in ('FAILED', 'SUPERSEDED')
                and coalesce(reply_to, id) >= question.id)
$$;

-- The bot has the conversation again. What the customer wrote since the business last did is answered, once, if it is younger than
-- `p_answer_within` seconds: whoever asked while nobody looked still waits. Returns the tickets; null if it was not a person's or closed.
create or replace function conversation_give_back_v1(p_id bigint, p_by text, p_answer_within float8) returns jsonb language plpgsql as $$
declare
    v_after       conversation;
    v_customer_id bigint;
begin
    update conversation set owner = 'bot', owner_since = clock_timestamp(), returns_at = null, return_after_minutes = null,
        handed_over_at = null, handover_reason = null, assigned_to = null
    where id = p_id and owner <> 'bot' and (p_by <> 'idle' or returns_at <= clock_timestamp()) returning * into v_after;
    if not found then
        return null;
    end if;
    select customer_id into v_customer_id from chatbot where id = v_after.chatbot_id;
    return job_follow_up(question_jobs_v1(p_id, p_answer_within), jsonb_build_array(owner_event_v1('conversation.returned',
        v_customer_id, v_after.chatbot_id, p_id, v_after.channel, v_after.external_user_id, 'bot', p_by)));
end $$;
