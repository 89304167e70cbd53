-- name: reply_to(conversation_id, message_id)
-- The reply to a message, or to the next one that has a reply: it was written with both in sight.
select id from message
where conversation_id = :conversation_id and reply_to + 0 >= :message_id
order by reply_to + 0 limit 1

-- name: merged(question_id)
-- The messages of its customer that the reply to a question answers: all since the reply before.
select array_agg(earlier.id order by earlier.id)
from message question join message earlier on earlier.conversation_id = question.conversation_id and earlier.role = 'user'
    and earlier.id <= question.id and earlier.id > coalesce((
        select max(coalesce(answer.reply_to, answer.id)) from message answer
        where answer.conversation_id = question.conversation_id and answer.role <> 'user'
            and coalesce(answer.reply_to, answer.id) < question.id), 0)
where question.id = :question_id

-- name: place(job_id)
-- How many jobs of its queue and lane are in front of a job that waits; customers take turns, so it may be sooner.
select count(*) from job waiting join job before on before.queue = waiting.queue and before.priority = waiting.priority
    and before.closed_at is null and before.id > 0 and before.id < waiting.id and not before.held and before.state = 'waiting'
where waiting.id = :job_id
