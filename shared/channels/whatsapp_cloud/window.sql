-- The 24 hours in which a business may write what it likes (conversation.window_ends_at; workers/incoming.sql opens it).

-- name: close(message_id, provider_id, chatbot_id)
-- Meta says that it is closed, so it is; unless the customer wrote after the message that Meta speaks of.
update conversation set window_ends_at = least(coalesce(window_ends_at, now()), now())
from message
where message.id = coalesce(:message_id::bigint, (
        select id from message sent where sent.external_id = :provider_id and sent.role = 'assistant' and sent.chatbot_id = :chatbot_id
        limit 1))
  and message.role = 'assistant' and message.chatbot_id = coalesce(:chatbot_id, message.chatbot_id)
  and conversation.id = message.conversation_id
  and (window_ends_at is null or window_ends_at - interval '24 hours' < message.created_at)
returning conversation.id

-- name: open(chatbot_id, external_user_id, at)
-- The customer called. One who has no conversation yet gets none by that.
update conversation set window_ends_at = greatest(window_ends_at, least(to_timestamp(:at::float8), now()) + interval '24 hours')
where chatbot_id = :chatbot_id and channel = 'whatsapp_cloud' and (
    external_user_id = :external_user_id or contact_id = (
        select contact_id from contact_identity identity where identity.chatbot_id = :chatbot_id
            and family = contact_family_v1('whatsapp_cloud') and name = contact_name_v1('whatsapp_cloud', :external_user_id)))
returning id
