-- name: note(session_id, chatbot_id, provider_ids, step)
-- Until when replies are acknowledged, where these acknowledgements say something new. They may come before the send's answer is
-- stored: then it is not known whose they are, and it is a moment ago that the reply was written.
with newest as (
    select coalesce(max(created_at), clock_timestamp()) as at from message
    where external_id = any (:provider_ids) and role = 'assistant' and chatbot_id = :chatbot_id
)
update whatsapp_qr_session set acked_at = newest.at from newest
where id = :session_id and (acked_at is null or newest.at > acked_at + make_interval(secs => :step))
returning true as is_news

-- name: silent_sessions(patience, step, look_back)
-- Sessions whose gateway took a reply a while ago, and has acknowledged neither that nor a later one.
select session.chatbot_id, session.session_name,
    -- Since somebody last saw to it, it has acknowledged others.
    coalesce(session.acked_at > coalesce(health.since, '-infinity'), false) as has_acknowledged
from whatsapp_qr_session session join chatbot on chatbot.id = session.chatbot_id
left join channel_health health on health.chatbot_id = session.chatbot_id and health.channel = 'whatsapp_qr'
where session.active and not coalesce(channel_is_down_v1(health.state), false) and health.reason is distinct from 'not_acknowledged'
    and exists (
        select from usage_log sent join message on message.id = sent.message_id
        where sent.customer_id = chatbot.customer_id and sent.kind = 'whatsapp_qr'
            and sent.created_at > greatest(session.acked_at, health.since, now() - make_interval(secs => :look_back))
            and sent.created_at < now() - make_interval(secs => :patience)
            and message.chatbot_id = session.chatbot_id and message.status = 'SENT'
            and message.created_at > coalesce(session.acked_at + make_interval(secs => :step), '-infinity'))
