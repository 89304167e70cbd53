-- name: save_message
-- Conversation, message, usage, event, this job's end and the AI job are one statement. The AI reads the last ten messages
-- when its turn comes, not here: by then the replies to the earlier ones are among them. A batch goes in the order of its
-- conversations, so that two processes never wait for each other. What a payload says beyond a plain text (shared/payloads.py) is
-- null here for one. What a colleague wrote elsewhere (role agent) is kept, and so is what may not be answered.
with runnable_jobs as materialized (
    select * from job_lock_runnable_v1('incoming-messages', $1)
), inbound_messages as materialized (
    select job.n, job.job_id, job.claim, payload.*, chatbot.customer_id, chatbot.debounce_seconds, customer.priority,
        case payload.author when 'colleague' then 'agent' else 'user' end as role,
        -- WhatsApp Cloud: until a day after the customer wrote we may send what we like. What a colleague writes opens no window.
        case when channel = 'whatsapp_cloud' and author is distinct from 'colleague'
            then least(to_timestamp(sent_at), now()) + interval '24 hours' end as window_ends_at
    from runnable_jobs job, jsonb_to_record(job.payload) as payload(message_id bigint, chatbot_id bigint, channel text,
            external_user_id text, external_id text, content text, metadata jsonb, kind text, author text, may_answer boolean,
            sent_at float8, data jsonb, media jsonb),
        chatbot join customer on customer.id = chatbot.customer_id
    where chatbot.id = payload.chatbot_id
), conversations as (
    insert into conversation (chatbot_id, channel, external_user_id, window_ends_at)
    select chatbot_id, channel, external_user_id, max(window_ends_at) from inbound_messages group by 1, 2, 3 order by 1, 2, 3
    on conflict (chatbot_id, channel, external_user_id) do update set updated_at = clock_timestamp(),
        window_ends_at = greatest(conversation.window_ends_at, excluded.window_ends_at)
    returning id, chatbot_id, channel, external_user_id
), new_messages as (
    insert into message (id, conversation_id, chatbot_id, channel, role, content, status, external_id, metadata, kind, sent_at, data)
    select message_id, conversations.id, chatbot_id, channel, role, content, case role when 'user' then 'DELIVERED' else 'SENT' end,
        external_id, coalesce(metadata, '{}'), coalesce(kind, 'text'), to_timestamp(sent_at), coalesce(data, '{}')
    from inbound_messages join conversations using (chatbot_id, channel, external_user_id)
    returning id, conversation_id
), saved_messages as (
    select inbound_messages.*, new_messages.conversation_id, role = 'user' and may_answer is not false as is_answered
    from inbound_messages join new_messages on new_messages.id = inbound_messages.message_id order by n
), new_media as (
    insert into media (customer_id, message_id, position, kind, mime, filename, size, sha256, source, state, storage_key)
    select customer_id, message_id, position - 1, file.kind, mime, left(filename, 255), size, sha256, coalesce(source, '{}'),
        case when is_stored then 'stored' else 'waiting' end,
        case when is_stored then customer_id || '/' || left(sha256, 2) || '/' || sha256 end -- shared/media/storage.py
    from saved_messages, jsonb_array_elements(saved_messages.media) with ordinality as files(value, position),
        jsonb_to_record(value) as file(kind text, mime text, filename text, size bigint, sha256 text, source jsonb, is_stored boolean)
), usage as (
    insert into usage_log (customer_id, kind, message_id) select customer_id, 'message', message_id from saved_messages
    where role = 'user'
)
select jsonb_agg(n) as done, jsonb_object_agg(n, message_id) as messages,
    jsonb_object_agg(n, customer_id) as customers, job_complete_v1(
    'incoming-messages', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(case
            when media is null then answer_job_v1(customer_id, priority, message_id, conversation_id, debounce_seconds)
            else media_job_v1(customer_id, priority, message_id, conversation_id, is_answered) end)
        filter (where is_answered or media is not null), '[]'),
    coalesce(jsonb_agg(jsonb_build_object('customer_id', customer_id, 'event', 'message.received',
        'data', jsonb_build_object('message_id', message_id, 'conversation_id', conversation_id,
            'channel', channel, 'external_user_id', external_user_id, 'content', content)
            || case when kind is null and data is null then '{}'
                    else jsonb_build_object('kind', coalesce(kind, 'text'), 'data', coalesce(data, '{}')) end))
        filter (where role = 'user'), '[]'),
    p_durable => false) as tickets
from saved_messages having count(*) > 0
