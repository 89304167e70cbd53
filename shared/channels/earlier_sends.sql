-- name: is_question_open(message_id, answer_within)
-- Of a reply that was superseded: whether the bot is to answer, and nothing does.
select question_jobs_v1(conversation_id, :answer_within) <> '[]' from message where id = :message_id

-- name: end_superseded
-- The end of a reply that a person's takeover kept from leaving. If it had been claimed by then, and the bot has had the conversation back
-- since, nobody saw that the question has no answer: it is asked anew, unless the reply may have left.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, queue text, message_id bigint,
        may_have_left boolean, answer_within float8)
), superseded_replies as materialized (
    select input.*, message.conversation_id from input left join message on message.id = input.message_id
), locked_keys as materialized ( -- in the order of the stages
    select job_lock('ai-processing', array_agg(conversation_id::text)) from superseded_replies
)
select jsonb_agg(n) as done, job_complete_v2(min(queue), jsonb_object_agg(job_id, claim), (
    select coalesce(jsonb_agg(job), '[]') from (select distinct conversation_id, answer_within from superseded_replies
        where not may_have_left) replies, jsonb_array_elements(question_jobs_v1(conversation_id, answer_within)) job)) as tickets
from superseded_replies, locked_keys

-- name: has_status_arrived(message_id, ids)
select true from parked_status parked join message on message.id = :message_id
    and message.chatbot_id = coalesce(parked.chatbot_id, message.chatbot_id)
where parked.provider_id = any (:ids) limit 1
