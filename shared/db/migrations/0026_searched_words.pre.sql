-- What is searched for when a question is answered: all that the customer wrote since the last reply up to it, and the turn before,
-- which says what "it" is. No row for no question.
create function searched_words_v1(p_conversation_id bigint, p_message_id bigint) returns table (question text, before text)
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
        (select string_agg(left(content, 4000), E'\n' order by id) from (
            select id, content from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= p_message_id and id > coalesce(v_last_reply, 0)
            order by id desc limit 10) newest),
        (select string_agg(left(content, 2000), E'\n' order by id) from (
            select id, content from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= v_last_question
                and id > coalesce((select coalesce(reply_to, id) from message
                    where conversation_id = p_conversation_id and role <> 'user' and coalesce(reply_to, id) < v_last_question
                    order by id desc limit 1), 0)
            order by id desc limit 10) newest);
end $$;
