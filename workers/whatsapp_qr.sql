-- name: claim
-- The job, the reply that it is to send, and the session that it leaves from.
select (claimed.job).*, (select to_jsonb(reply) from (
    select claimed.status, message.external_id, coalesce(message.address, conversation.external_user_id) as recipient,
        -- A file, and its caption; what stands in the place of one does not leave.
        case when message.kind = 'media' and message.metadata ? 'unsupported' then '' else message.content end as content,
        case when message.kind = 'media' then (
            select jsonb_build_object('kind', kind, 'mime', mime, 'filename', filename, 'size', size, 'storage_key', storage_key)
            from media where message_id = message.id order by position limit 1) end as file,
        to_jsonb(session) as sender, coalesce((message.metadata ->> 'parts_sent')::integer, 0) as parts_sent,
        message.metadata ? 'source' as by_person, message.data, channel_health_v1('whatsapp_qr', message.chatbot_id) as health,
        claimed.has_moved
    from message join conversation on conversation.id = message.conversation_id
    left join whatsapp_qr_session session on session.chatbot_id = message.chatbot_id and session.active
    where message.id = (claimed.job).message_id and message.role = 'assistant'
) reply) as loaded
from send_claim_v3('whatsapp-qr-send', $1) claimed

-- name: other_names(message_id, recipient, most)
-- Under which else the person of a reply is known to WhatsApp: by phone number, by @lid. The newest first.
select identity.name from message join conversation on conversation.id = message.conversation_id
join contact_identity identity on identity.contact_id = conversation.contact_id and identity.family = contact_family_v1('whatsapp_qr')
where message.id = :message_id and identity.left_at is null and identity.name <> contact_name_v1('whatsapp_qr', :recipient)
    and (identity.name ~ '^[0-9]+$' or identity.name like '%@lid')
order by identity.created_at desc limit :most
