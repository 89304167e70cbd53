-- name: save_message
-- Conversation, message, usage, event, this job's end and the AI job are one statement. The AI reads the last ten messages
-- when its turn comes, not here: by then the replies to the earlier ones are among them. A batch goes in the order of its
-- conversations, so that two processes never wait for each other. What a payload says beyond a plain text (shared/payloads.py) is
-- null here for one. What may not be answered is kept. What a colleague wrote elsewhere (role agent) takes the conversation over;
-- it is left out until somebody has looked whether it is an echo of our own (`is_persons`, shared/channels/echoes.py).
-- A name may be another name of somebody who has a conversation already. A message that tells several names is left
-- out unless all are known to be one person's, or none is known: the names are learnt first then (`names_learnt`).
with runnable_jobs as materialized (
    select * from job_lock_runnable_v2('incoming-messages', $1)
), inbound_messages as materialized (
    select job.n, job.job_id, job.claim, payload.*, chatbot.customer_id, chatbot.debounce_seconds, customer.priority,
        case payload.author when 'colleague' then 'agent' else 'user' end as role,
        author = 'colleague' and may_answer is not false as takes_over,
        -- WhatsApp Cloud: until a day after the customer wrote we may send what we like. What a colleague writes opens no window.
        case when channel = 'whatsapp_cloud' and author is distinct from 'colleague'
            then least(to_timestamp(sent_at), now()) + interval '24 hours' end as window_ends_at,
        coalesce(
            (select external_user_id from conversation where channel = payload.channel and contact_id = (
                select contact_id from contact_identity identity
                where identity.chatbot_id = payload.chatbot_id and identity.family = contact_family_v1(payload.channel)
                    and identity.name = contact_name_v1(payload.channel, payload.external_user_id))),
            payload.external_user_id) as conversation_name, told.names
    from runnable_jobs job, jsonb_to_record(job.payload) as payload(message_id bigint, chatbot_id bigint, channel text,
            external_user_id text, external_id text, content text, metadata jsonb, kind text, author text, may_answer boolean,
            sent_at float8, data jsonb, media jsonb, identities jsonb, edited_at float8, is_revoked boolean),
        chatbot join customer on customer.id = chatbot.customer_id,
        -- All names of a message that tells several.
        lateral (select case when payload.identities is not null then array(
            select distinct contact_name_v1(payload.channel, other.name) from jsonb_array_elements_text(
                payload.identities || to_jsonb(payload.external_user_id)) as other(name)) end as names) told
    where chatbot.id = payload.chatbot_id and case when names is null then true else (
        select count(distinct contact_id) = 0 or count(distinct contact_id) = 1 and count(*) = cardinality(names)
        from contact_identity identity where identity.chatbot_id = payload.chatbot_id
            and family = contact_family_v1(payload.channel) and identity.name = any (names)
        ) or coalesce(($1 -> job.n -> 'names_learnt')::boolean, false) end
        and (author is distinct from 'colleague' or coalesce(($1 -> job.n -> 'is_persons')::boolean, false))
), conversations as (
    insert into conversation (chatbot_id, channel, external_user_id, window_ends_at)
    select chatbot_id, channel, conversation_name, max(window_ends_at) from inbound_messages group by 1, 2, 3 order by 1, 2, 3
    on conflict (chatbot_id, channel, external_user_id) do update set
        window_ends_at = greatest(conversation.window_ends_at, excluded.window_ends_at),
        active_at = active_at_v1(conversation.active_at),
        -- A person's stays theirs while anybody writes. Whose time is over, or which was closed, is the bot's again.
        owner = case when is_bots_again_v1(conversation.owner, conversation.returns_at) then 'bot' else conversation.owner end,
        owner_since = case when is_bots_again_v1(conversation.owner, conversation.returns_at)
            then greatest(now(), conversation.owner_since + interval '1 us') else conversation.owner_since end,
        -- By which `returning` knows what it was: this time for a closed one, a microsecond later for a person's.
        updated_at = case when is_bots_again_v1(conversation.owner, conversation.returns_at)
            then greatest(now(), conversation.owner_since + interval '1 us')
                + interval '1 us' * (conversation.owner <> 'closed')::integer else clock_timestamp() end,
        -- Who waits for a person in vain does not wait longer because they ask again.
        returns_at = case when is_bots_again_v1(conversation.owner, conversation.returns_at) then null
            when conversation.handed_over_at is not null then conversation.returns_at
            else clock_timestamp() + make_interval(mins => conversation.return_after_minutes) end,
        assigned_to = case when not is_bots_again_v1(conversation.owner, conversation.returns_at) then conversation.assigned_to end,
        return_after_minutes = case when not is_bots_again_v1(conversation.owner, conversation.returns_at)
            then conversation.return_after_minutes end,
        handed_over_at = case when not is_bots_again_v1(conversation.owner, conversation.returns_at)
            then conversation.handed_over_at end,
        handover_reason = case when not is_bots_again_v1(conversation.owner, conversation.returns_at)
            then conversation.handover_reason end
    returning id, chatbot_id, channel, external_user_id as conversation_name, contact_id, owner,
        owner = 'bot' and updated_at <= owner_since + interval '1 us' as has_returned, created_at = now() as is_new,
        owner = 'bot' and updated_at = owner_since as was_closed
), other_names as ( -- of new contacts, which the trigger conversation_contact makes
    insert into contact_identity (chatbot_id, family, name, contact_id)
    select distinct chatbot_id, contact_family_v1(channel), other.name, contact_id
    from inbound_messages join conversations using (chatbot_id, channel, conversation_name), unnest(names) as other(name)
    where other.name <> contact_name_v1(channel, conversation_name)
        and contact_id is not null and (select id from contact where id = contact_id) is null
    on conflict do nothing
), new_messages as (
    insert into message (id, conversation_id, chatbot_id, channel, role, content, status, external_id, metadata, kind, sent_at,
        data, address, edited_at, revoked_at)
    select message_id, conversations.id, chatbot_id, channel, role, content, case role when 'user' then 'DELIVERED' else 'SENT' end,
        external_id, coalesce(metadata, '{}') || case when may_answer is false then '{"kept": true}'::jsonb else '{}' end,
        coalesce(kind, 'text'), to_timestamp(sent_at),
        case when data ? 'quoted' then quoted_words_v5(chatbot_id, channel, external_user_id, data) else coalesce(data, '{}') end,
        nullif(external_user_id, conversation_name), to_timestamp(edited_at), case when is_revoked then now() end
    from inbound_messages join conversations using (chatbot_id, channel, conversation_name)
    returning id, conversation_id
), saved_messages as (
    select inbound_messages.*, conversations.id as conversation_id,
        role = 'user' and may_answer is not false and owner = 'bot' as is_answered,
        answer_debounce_v1(debounce_seconds, data ? 'album' or media @> '[{"kind": "image"}]' or media @> '[{"kind": "video"}]' or kind = 'media'
            and coalesce(metadata ->> 'unsupported', metadata ->> 'attachment') in ('image', 'video')) as debounce
    from inbound_messages join new_messages on new_messages.id = inbound_messages.message_id
        join conversations on conversations.id = new_messages.conversation_id order by n
), new_media as (
    insert into media (customer_id, message_id, position, kind, mime, filename, size, sha256, source, state, storage_key, error,
        text)
    select customer_id, message_id, position - 1, file.kind, mime, left(filename, 255),
        case when size between 0 and 9007199254740991 then size::bigint end, -- a provider's word: its nonsense costs no message
        sha256, coalesce(source, '{}'),
        case when is_stored then 'stored' when error is not null then 'failed' else 'waiting' end,
        case when is_stored then customer_id || '/' || left(sha256, 2) || '/' || sha256 end, error, text -- shared/media/folder.py
    from saved_messages, jsonb_array_elements(saved_messages.media) with ordinality as files(value, position),
        jsonb_to_record(value) as file(kind text, mime text, filename text, size numeric, sha256 text, source jsonb,
            is_stored boolean, error text, text text)
), told_names as materialized (
    select contact_id, left(metadata ->> 'profile_name', 200) as name
    from saved_messages join conversations on conversations.id = conversation_id
    where role = 'user' and metadata ->> 'profile_name' <> ''
), named_contacts as (
    update contact set name = told_names.name, updated_at = clock_timestamp()
    from told_names
    where contact.id = any (array(select contact_id from told_names)) and contact.id = contact_id
        and contact.name is distinct from told_names.name
), usage as (
    insert into usage_log (customer_id, kind, message_id) select customer_id, 'message', message_id from saved_messages
    where role = 'user'
)
select jsonb_agg(n) as done, jsonb_object_agg(n, message_id) as messages,
    jsonb_object_agg(n, customer_id) as customers, job_complete_v2(
    'incoming-messages', jsonb_object_agg(job_id, claim),
    coalesce(jsonb_agg(media_job_v1(customer_id, priority, message_id, conversation_id)) filter (where media is not null), '[]')
        || coalesce(jsonb_agg(case
            when media is null then answer_job_v1(customer_id, priority, message_id, conversation_id, debounce)
            else answer_after_media_v1(customer_id, priority, message_id, conversation_id, debounce) end)
        filter (where is_answered), '[]'),
    (select coalesce(jsonb_agg(event), '[]') from conversations join chatbot on chatbot.id = chatbot_id, lateral (
            select conversation_event_v1('conversation.opened', chatbot.customer_id, chatbot_id, conversations.id, channel,
                conversation_name, jsonb_build_object('is_new', is_new)) as event
            where is_new or was_closed
            union all
            select owner_event_v1('conversation.returned', chatbot.customer_id, chatbot_id, conversations.id, channel,
                conversation_name, 'bot', 'customer')
            where has_returned and conversations.id in (select conversation_id from saved_messages where role = 'user')
        ) events where conversations.id in (select conversation_id from saved_messages))
        || coalesce(jsonb_agg(message_event_v2('message.received', customer_id, chatbot_id, conversation_id, channel, message_id,
            jsonb_build_object('external_user_id', conversation_name, 'content', content)
            || case when kind is null and data is null then '{}'
                    else jsonb_build_object('kind', coalesce(kind, 'text'), 'data', coalesce(data, '{}')) end))
            filter (where role = 'user'), '[]'),
    p_durable => false) || (
        select coalesce(jsonb_agg(ticket), '[]') from saved_messages,
            jsonb_array_elements(conversation_take_over_v1(conversation_id, 'person', 'phone')) ticket where takes_over) as tickets,
    set_config('switchboard.resolves_names', 'on', true) as resolves_names -- the trigger conversation_contact asks
from saved_messages having count(*) > 0
