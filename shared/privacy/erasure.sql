-- Everything of one person: all queries run in one transaction (erasure.py), which gives up rather than wait.

-- name: lock_contact(contact_id, customer_id)
select contact.chatbot_id from contact join chatbot on chatbot.id = contact.chatbot_id
where contact.id = :contact_id and chatbot.customer_id = :customer_id for update of contact

-- name: identities(contact_id)
select family, name from contact_identity where contact_id = :contact_id order by family, name for update

-- name: lock_conversations(chatbot_id, contact_id)
-- Also one that has no contact yet (conversation.contact_id). Whoever saves a message or a reply into it waits, and then finds it gone.
select id, channel, external_user_id from conversation
where contact_id = :contact_id or contact_id is null and chatbot_id = :chatbot_id and exists (
    select from contact_identity identity where identity.contact_id = :contact_id
        and identity.family = contact_family_v1(channel) and identity.name = contact_name_v1(channel, external_user_id))
order by id for update

-- name: lock_arrivals(chatbot_id, contact_id, conversation_ids)
-- No message of this person is accepted now, under whichever form of their names channels use.
with names as (
    select channel.name as channel, form
    from contact_identity identity join channel on contact_family_v1(channel.name) = identity.family,
        unnest(array[identity.name, '+' || identity.name, identity.name || '@c.us', identity.name || '@s.whatsapp.net']) form
    where identity.contact_id = :contact_id
    union
    select channel, external_user_id from conversation where id = any (:conversation_ids::bigint[])
    union
    select channel, address from message where conversation_id = any (:conversation_ids::bigint[]) and address is not null
)
select job_lock('incoming-messages', (select array_agg(:chatbot_id || ':' || channel || ':' || form) from names))

-- name: arrivals(customer_id, chatbot_id, contact_id)
-- What was accepted: saved, not saved yet, or never; under any of the names that it tells, of which some may not be learnt yet. A part
-- for each index.
with arrivals as (
    select id, message_id, payload, state from job where queue = 'incoming-messages' and closed_at is null and id > 0
    union all
    select id, message_id, payload, state from job
    where customer_id = :customer_id and queue = 'incoming-messages' and closed_at is not null
)
select arrivals.message_id, arrivals.state = 'completed' as is_saved, arrivals.payload ->> 'external_id' as external_id,
    array(select file ->> 'sha256' from jsonb_path_query(arrivals.payload, '$.media[*]') file) as hashes
from arrivals
where arrivals.payload ->> 'chatbot_id' = :chatbot_id::text and exists (
    select from contact_identity identity, (
        select arrivals.payload ->> 'external_user_id' as name
        union all select jsonb_array_elements_text(coalesce(arrivals.payload -> 'identities', '[]'))) told
    where identity.contact_id = :contact_id and identity.family = contact_family_v1(arrivals.payload ->> 'channel')
        and identity.name = contact_name_v1(arrivals.payload ->> 'channel', told.name))

-- name: provider_ids(conversation_ids, days)
-- By which providers deliver again what they have delivered, and report on replies.
select id, external_id from message
where conversation_id = any (:conversation_ids::bigint[]) and external_id is not null
    and created_at > now() - make_interval(days => :days)

-- name: keep_marks(marks)
insert into tombstone (mark, message_id, erased_at)
select mark, message_id, clock_timestamp() from jsonb_to_recordset(:marks) as input(mark text, message_id bigint)
on conflict (mark) do update set erased_at = excluded.erased_at, message_id = excluded.message_id

-- name: merged(conversation_ids)
-- What has become a part of them.
select id from merged_conversation where conversation_id = any (:conversation_ids::bigint[])

-- name: delete_events(customer_id, conversation_ids, names)
-- What endpoints are told of these conversations. After the conversations: who ends a send now has told before, or finds no message.
-- Compared as texts: the business may add events of its own, and put what it likes into them.
with deleted_events as (
    delete from webhook_event where customer_id = :customer_id and case when payload ? 'conversation_id'
        then payload ->> 'conversation_id' = any (:conversation_ids::text[])
        else payload ->> 'external_user_id' = any (:names::text[]) end
    returning id
)
select array_agg(id) as ids from deleted_events

-- name: delete_jobs(customer_id, conversation_ids, message_ids, event_ids)
-- Of messages while these are there, of events afterwards. Active ones as well: what their workers come back with is refused, for
-- the claim is over. And the records of those that failed.
with deleted_jobs as (delete from job where id = any (array(
    select id from job where message_id = any (array(
        select id from message where conversation_id = any (:conversation_ids::bigint[])))
    union
    select id from job where message_id = any (:message_ids::bigint[])
    union
    select id from job where queue = 'webhook-delivery' and closed_at is null and id > 0
        and webhook_event_id = any (:event_ids::bigint[])
    union
    select id from job where customer_id = :customer_id and queue = 'webhook-delivery' and closed_at is not null
        and webhook_event_id = any (:event_ids::bigint[])))
    returning id)
delete from dead_letter where job_id = any (array(select id from deleted_jobs)) or customer_id = :customer_id and (
    conversation_id = any (:conversation_ids::bigint[]) or message_id = any (:message_ids::bigint[])
    or webhook_event_id = any (:event_ids::bigint[]))

-- name: delete_answers(customer_id, contact_id, conversation_ids)
-- What the API answered (web/api/idempotency.py).
delete from kept_answer where customer_id = :customer_id and path ~ (
    '/(contacts/' || :contact_id || '|conversations/(' || array_to_string(:conversation_ids::bigint[], '|') || '))(/|$)')

-- name: delete_inbound(chatbot_id, conversation_ids, words)
-- What could not be placed and names this person: of the chatbot's own accounts, and of none. And statuses of their replies, and what
-- they did to messages that have not come; or somebody did, for not all channels say who.
with accounts as (
    select phone_number_id as subject, chatbot_id from whatsapp_cloud_account
    union all select session_name, chatbot_id from whatsapp_qr_session
    union all select bot_id, chatbot_id from telegram_bot
), deleted_rejects as (
    delete from inbound_reject where payload ~ :words and not exists (
        select from accounts where accounts.subject = inbound_reject.subject and accounts.chatbot_id <> :chatbot_id)
), deleted_statuses as (
    delete from parked_status where coalesce(chatbot_id, :chatbot_id) = :chatbot_id and (
        provider_id ~ :words or provider_id = any (array(
            select external_id from message where conversation_id = any (:conversation_ids::bigint[]) and external_id is not null)))
), deleted_changes as (
    delete from parked_change where chatbot_id = :chatbot_id
        and (names = '{}' or array_to_string(names, ' ') ~ :words)
), deleted_reactions as (
    delete from parked_reaction where chatbot_id = :chatbot_id -- whoever reacted is not kept with it
)
delete from open_page where topic = any (array(
    select md5(chatbot_id || ':' || external_user_id) from conversation where id = any (:conversation_ids::bigint[])))

-- name: release_files(customer_id, conversation_ids, hashes)
-- Files that nobody else has need not wait a day (shared/media/files.py). `hashes`: of messages that were not saved yet.
with files as materialized (
    select distinct sha256 from media join message on message.id = media.message_id
    where message.conversation_id = any (:conversation_ids::bigint[]) and media.state = 'stored'
    union select unnest(:hashes::text[])
)
update media_file set wanted_at = '-infinity' from files
where media_file.customer_id = :customer_id and media_file.sha256 = files.sha256 and not exists (
    select from job where queue = 'incoming-messages' and closed_at is null and id > 0 and job.customer_id = :customer_id
        and payload @> jsonb_build_object('media', jsonb_build_array(jsonb_build_object('sha256', files.sha256))))

-- name: delete_conversations(conversation_ids)
-- Messages, media, drafts and questions without an answer go with them; usage stays, and knows no message any more.
with deleted_conversations as (
    delete from conversation where id = any (:conversation_ids::bigint[]) returning id
)
select count(*) as conversations, (select count(*) from message where conversation_id = any (:conversation_ids::bigint[])) as messages
from deleted_conversations

-- name: delete_contact(contact_id)
delete from contact where id = :contact_id
