-- name: read_news
-- What changed in visitors' conversations, each behind a revision: one row for each that changed, or has a reply that is being
-- written. SQL, and not a query of the models: every open page's news go through it, and building that costs ten times what running
-- this does. A conversation's messages are few enough to be looked through; an index on revision would make every status a new entry.
with input as (
    select * from jsonb_to_recordset($1) as i(n integer, chatbot_id bigint, visitor_id text, after bigint, has_draft boolean,
        batch integer)
), changed_conversations as (
    select input.n, input.after, input.batch, input.has_draft, conversation.id, conversation.revision, draft.reply_to, draft.text,
        conversation.owner <> 'bot' or coalesce(conversation.braked_until > now(), false) as is_bot_silent
    from input join conversation on conversation.chatbot_id = input.chatbot_id and conversation.channel = 'widget'
        and conversation.external_user_id = input.visitor_id
    left join reply_draft draft on draft.conversation_id = conversation.id
    where conversation.revision > input.after or draft.conversation_id is not null or input.has_draft
)
select n, revision as newest, reply_to as draft_of, text as draft,
    -- The page has a draft that is no more. A reply that is saved will be shown in a moment, and takes its place then.
    has_draft and text is null and not exists (
        select from message where conversation_id = changed_conversations.id and reply_to is not null and status = 'PENDING'
    ) as is_draft_gone,
    case when revision > after then (
        select coalesce(jsonb_agg(jsonb_build_array(revision, message) order by revision), '[]')
        from (
            select revision, jsonb_build_object('id', id, 'role', role, 'content', content, 'status', status,
                'reply_to', reply_to, 'created_at', created_at, 'sources', metadata -> 'sources', 'author',
                case when metadata ? 'source' then jsonb_build_object('name', metadata ->> 'author') end,
                'choices', data -> 'choices', 'is_bot_silent', is_bot_silent, 'label', metadata -> 'unsupported',
                'files', case when kind = 'media' then (
                    select jsonb_agg(jsonb_build_object('id', media.id, 'kind', media.kind, 'name', filename, 'size', size,
                        'mime', mime, 'state', state)) from media where media.message_id = message.id) end) as message
            from message
            where conversation_id = changed_conversations.id and revision > after and status not in ('PENDING', 'SUPERSEDED')
            order by revision limit batch
        ) changed_messages) else '[]' end as changes
from changed_conversations
