-- Messages of WAHA are kept under WhatsApp's own id, without what its engines put around it: the chat, which is a number in one event
-- and a @lid in the next. Those of the last days are the ones that are still edited, deleted and replied to.
with decorated_messages as (
    select min(id) as id, chatbot_id, substring(external_id from '^(?:true|false)_[^_@]+@[^_]+_([^_]+)') as bare_id
    from message
    where channel = 'whatsapp_qr' and role = 'user' and created_at > now() - interval '7 days'
        and external_id ~ '^(true|false)_[^_@]+@[^_]+_[^_]+'
    group by 2, 3
)
update message set external_id = decorated_messages.bare_id
from decorated_messages
where message.id = decorated_messages.id and not exists (
    select from message other where other.chatbot_id = decorated_messages.chatbot_id and other.channel = 'whatsapp_qr'
        and other.external_id = decorated_messages.bare_id and other.role = 'user');
