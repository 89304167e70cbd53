-- name: is_known(chatbot_id, channel, external_id)
-- By the id that the gateway answered with, or because it was reported before.
select exists (select from message where external_id = :external_id and role = 'assistant' and chatbot_id = :chatbot_id)
    or exists (select from message where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id
                   and role = 'agent')

-- name: sends_under_way(job_id, chatbot_id)
-- Those that had begun when the report came, and whose answer is not recorded.
select message.id, message.content, message.metadata ? 'source' as by_person
from job report join job send on send.customer_id = report.customer_id and send.queue = 'whatsapp-qr-send'
    and send.closed_at is null and (send.state = 'active' or send.outcome_unknown_since is not null)
    and send.started_at <= report.created_at
join message on message.id = send.message_id and message.chatbot_id = :chatbot_id and message.external_id is null
where report.id = :job_id
