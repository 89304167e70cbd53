-- name: accept_messages
-- In their order. All ordering keys are locked before, in the order of job_lock: two processes never wait for each other.
with input as materialized (
    select input.n, input.payload, input.marks, message.*
    from jsonb_to_recordset($1) as input(n integer, payload jsonb, marks text[]), jsonb_to_record(input.payload)
        as message(chatbot_id bigint, channel text, external_user_id text, external_id text)
), locked_keys as materialized (
    select job_lock('incoming-messages', array_agg(chatbot_id || ':' || channel || ':' || external_user_id)) from input
)
select n, message_accept_v4(chatbot_id, channel, external_user_id, external_id, payload, marks) as accepted
from locked_keys, (select * from input order by n) ordered_input
