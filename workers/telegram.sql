-- name: claim
-- The job, the reply that it is to send, and the bot that it leaves from, with the topic of what is answered, or of what the
-- customer wrote last.
select (claimed.job).*, (select to_jsonb(reply) from (
    select claimed.status, message.external_id, coalesce(message.address, conversation.external_user_id) as recipient,
        -- A file, and its caption; what stands in the place of one does not leave.
        case when message.kind = 'media' and message.metadata ? 'unsupported' then '' else message.content end as content,
        case when message.kind = 'media' then (
            select jsonb_build_object('kind', kind, 'mime', mime, 'filename', filename, 'size', size, 'storage_key', storage_key)
            from media where message_id = message.id order by position limit 1) end as file,
        to_jsonb(bot) || jsonb_build_object('topic', (
            select metadata -> 'topic' from message asked
            where asked.conversation_id = message.conversation_id and asked.role = 'user' and asked.id = coalesce(message.reply_to, asked.id)
            order by asked.id desc limit 1)) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person, message.data,
        channel_health_v1('telegram', message.chatbot_id) as health,
        claimed.has_moved
    from message join conversation on conversation.id = message.conversation_id
    left join telegram_bot bot on bot.chatbot_id = message.chatbot_id and bot.active
    where message.id = (claimed.job).message_id and message.role = 'assistant'
) reply) as loaded
from send_claim_v3('telegram-send', $1) claimed
