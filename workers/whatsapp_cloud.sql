-- name: claim
-- The job, the reply that it is to send, and the number that it leaves from.
select claimed_jobs.*, (select to_jsonb(reply) from (
    select message.content, message.status, message.external_id,
        coalesce(message.address, conversation.external_user_id) as recipient,
        to_jsonb(account) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person
    from message join conversation on conversation.id = message.conversation_id
    left join whatsapp_cloud_account account on account.chatbot_id = message.chatbot_id and account.active
    where message.id = claimed_jobs.message_id and message.role = 'assistant'
) reply) as loaded
from job_claim_v2('whatsapp-cloud-send', $1) as claimed_jobs
