-- name: change_message(chatbot_id, channel, names, external_id, content, data, sent_at, is_kept, marks)
select message_change_v4(:chatbot_id, :channel, :names::text[], :external_id, :content, :data, :sent_at, :is_kept,
    :marks::text[]) as change

-- name: beside(chatbot_id, channel, external_id)
-- What stands beside a customer's message, saved or on its way: the ad that they come from, the product that they ask about.
with message_data as (
    select data from message where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'user'
    union all
    select payload -> 'data' from job
    where dedup_key = md5(jsonb_build_array(:chatbot_id::bigint, :channel::text, :external_id::text)::text) and closed_at is null
)
select jsonb_strip_nulls(jsonb_build_object('referral', data -> 'referral', 'product', data -> 'product')) from message_data limit 1

-- name: change_own_message(chatbot_id, channel, names, external_id, content, sent_at, marks)
select own_message_change_v2(:chatbot_id, :channel, :names::text[], :external_id, :content, :sent_at, :marks::text[]) as outcome

-- name: keep_as_message(chatbot_id, channel, external_id, payload)
update parked_change set payload = :payload
where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and content is not null

-- name: overdue(seconds, limit)
select payload from parked_change
where payload is not null and received_at < now() - make_interval(secs => :seconds) order by received_at limit :limit

-- name: settle_overdue(payloads)
-- Those that were accepted are gone already; others' message has come, or must not.
update parked_change set payload = null from jsonb_array_elements(:payloads::jsonb) as settled(payload)
where chatbot_id = (settled.payload ->> 'chatbot_id')::bigint and channel = settled.payload ->> 'channel'
    and external_id = settled.payload ->> 'external_id'

-- name: prune_parked(after, age, batch)
with deleted_changes as (
    delete from parked_change where (chatbot_id, channel, external_id) in (
        select chatbot_id, channel, external_id from parked_change
        where received_at >= :after and received_at < now() - make_interval(secs => :age) order by received_at limit :batch)
    returning received_at
)
select count(*) as rows, max(received_at) as last from deleted_changes

-- name: prune_reactions(after, age, batch)
with deleted_reactions as (
    delete from parked_reaction where (chatbot_id, channel, external_id) in (
        select chatbot_id, channel, external_id from parked_reaction
        where received_at >= :after and received_at < now() - make_interval(secs => :age) order by received_at limit :batch)
    returning received_at
)
select count(*) as rows, max(received_at) as last from deleted_reactions

-- name: react(chatbot_id, channel, external_id, emoji)
-- The last reaction counts; none takes it back. A part for each role, which has its own index, and for parts of a long reply.
with reacted as (
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'assistant'
    union all
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'user'
    union all
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id and role = 'agent'
    union all
    select id from message
    where chatbot_id = :chatbot_id and channel = :channel and part_ids @> array[:external_id]
), earlier_reactions as (
    delete from parked_reaction where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id
        and exists (select from reacted)
    returning external_id
)
update message set updated_at = clock_timestamp(),
    data = case when :emoji::text = '' then data - 'reaction' else data || jsonb_build_object('reaction', :emoji::text) end
from reacted where message.id = reacted.id
    and (select count(*) from earlier_reactions) >= 0 -- deleted first, as the sweep does: in another order the two would wait for each other
returning message.id

-- name: react_to_accepted(chatbot_id, channel, external_id, emoji)
-- The same for a customer's message that is accepted and not saved yet.
with earlier_reactions as (
    delete from parked_reaction where chatbot_id = :chatbot_id and channel = :channel and external_id = :external_id
)
update job set payload = jsonb_set(payload, '{data}', case when :emoji::text = '' then coalesce(payload -> 'data', '{}') - 'reaction'
    else coalesce(payload -> 'data', '{}') || jsonb_build_object('reaction', :emoji::text) end)
where dedup_key = md5(jsonb_build_array(:chatbot_id::bigint, :channel::text, :external_id::text)::text) and closed_at is null
returning id

-- name: park_reaction(chatbot_id, channel, external_id, emoji, marks, most)
-- But not one to what an erased person wrote or was answered.
insert into parked_reaction (chatbot_id, channel, external_id, emoji)
select :chatbot_id, :channel, :external_id, :emoji
where not exists (select from tombstone where mark = any (:marks::text[]))
    and (select count(*) from (select from parked_reaction where chatbot_id = :chatbot_id limit :most) kept) < :most
on conflict (chatbot_id, channel, external_id) do update set emoji = excluded.emoji, received_at = excluded.received_at
returning external_id

-- name: apply_reactions(page)
-- A part for each role, which has its own index, and for parts of a long reply.
with parked as materialized (
    select * from parked_reaction order by received_at desc limit :page
), matches as materialized (
    select message.id, parked.* from parked join message using (chatbot_id, channel, external_id) where role = 'user'
    union all
    select message.id, parked.* from parked join message using (chatbot_id, channel, external_id) where role = 'agent'
    union all
    select message.id, parked.* from parked join message using (chatbot_id, channel, external_id) where role = 'assistant'
    union all
    select message.id, parked.* from parked join message using (chatbot_id, channel)
    where message.part_ids @> array[parked.external_id]
), settled_reactions as (
    delete from parked_reaction using matches
    where (parked_reaction.chatbot_id, parked_reaction.channel, parked_reaction.external_id, parked_reaction.emoji)
        = (matches.chatbot_id, matches.channel, matches.external_id, matches.emoji)
    returning matches.id, matches.emoji
)
update message set updated_at = clock_timestamp(),
    data = case when emoji = '' then data - 'reaction' else data || jsonb_build_object('reaction', emoji) end
from settled_reactions where message.id = settled_reactions.id
