-- name: lists(customers)
-- For each customer a mark that changes with what its lists show first, and the newest handoff that waits. Of each chatbot and owner the
-- newest are found by the index and merged; only of those that are left the rows are read, so that a hundred chatbots cost little more
-- than one. Whoever looks at the list of one chatbot among many may hear of its older rows with the next change.
select customer_id, md5(string_agg(mark, ',' order by mark)) as mark, (array_agg(id order by handed_over_at desc nulls last))[1] as newest,
    extract(epoch from max(handed_over_at)) as handed_over_at
from (
    select customers.id as customer_id, conversation.id, handed_over_at, concat_ws(' ', conversation.id, owner, owner_since,
        handed_over_at, assigned_to, conversation.updated_at, last_message.id, last_message.status, last_message.updated_at) as mark
    from unnest(:customers::bigint[]) as customers(id) cross join unnest('{person,bot,closed}'::text[]) as any_owner(name)
        cross join lateral (
            select newest.id from chatbot cross join lateral (
                select id, active_at from conversation where chatbot_id = chatbot.id and owner = any_owner.name and not is_test
                order by active_at desc, id desc limit 60) newest
            where chatbot.customer_id = customers.id order by newest.active_at desc, newest.id desc limit 60) shown
        join conversation on conversation.id = shown.id
        left join lateral (
            select id, status, updated_at from message where conversation_id = conversation.id order by id desc limit 1
        ) last_message on true
) marks group by customer_id

-- name: conversations(conversations)
-- For each conversation a mark that changes with what its page shows. One that has become a part of another one shows that one.
select wanted.id, md5(concat_ws(' ', owner, owner_since, handed_over_at, assigned_to, returns_at, window_ends_at <= now(),
    (select concat_ws(' ', state, reason) from channel_health health
        where health.chatbot_id = conversation.chatbot_id and health.channel = conversation.channel and channel_is_down_v1(state)),
    (select string_agg(concat_ws(' ', id, status, updated_at), ',' order by id desc) from (
        select id, status, updated_at from message where conversation_id = conversation.id order by id desc limit 60) messages),
    (select max(id) from conversation_note where conversation_id = conversation.id),
    (select id from job where queue = 'ai-processing' and ordering_key = conversation.id::text and closed_at is null and not held),
    (select string_agg(state, ',' order by id) from (select id, state from media where message_id in (
        select id from message where conversation_id = conversation.id order by id desc limit 20)) files))) as mark
from unnest(:conversations::bigint[]) as wanted(id) left join merged_conversation merged on merged.id = wanted.id
    join conversation on conversation.id = coalesce(merged.conversation_id, wanted.id)

-- name: failures
-- A mark that changes with each job that failed for good, each channel that goes down or comes back, each step of a replay and each
-- pause.
select concat_ws(' ', (select max(failed_at) from dead_letter), (select max(since) from channel_health), (select max(id) from bulk_action),
    (select string_agg(stepped_at::text, ' ' order by id) from bulk_action where state = 'running'),
    (select string_agg(id::text, ' ' order by id) from pause)) as mark
