-- name: accept_messages
-- In their order. All ordering keys are locked before, in the order of job_lock: two processes never wait for each other. Whoever
-- deletes a chatbot (shared/teaching/chatbots.py) waits for what is accepted for it, and what comes later finds it gone.
with input as materialized (
    select input.n, input.payload, input.marks, message.*
    from jsonb_to_recordset($1) as input(n integer, payload jsonb, marks text[]), jsonb_to_record(input.payload)
        as message(chatbot_id bigint, channel text, external_user_id text, external_id text)
), kept_chatbots as materialized (
    select count(pg_advisory_xact_lock_shared(hashtextextended('chatbot', chatbot_id)))
    from (select distinct chatbot_id from input order by chatbot_id) chatbots
), locked_keys as materialized (
    select job_lock('incoming-messages', array_agg(chatbot_id || ':' || channel || ':' || external_user_id))
    from kept_chatbots, input
)
select n, message_accept_v4(chatbot_id, channel, external_user_id, external_id, payload, marks) as accepted
from locked_keys, (select * from input order by n) ordered_input
