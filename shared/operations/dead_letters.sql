-- name: groups
-- `hours`: how many failed in each of the last 24 hours, the oldest first.
select queue, channel, error_code, count(*) as count, count(distinct customer_id) as customers,
    case when count(distinct customer_id) = 1 then (select name from customer where id = min(letter.customer_id)) end as customer,
    count(distinct endpoint_id) as endpoints, min(failed_at) as first_at, max(failed_at) as last_at,
    (array_agg(error order by failed_at desc))[1] as error,
    dead_letter_verdict_v2((array_agg(id order by failed_at desc))[1], false) is distinct from 'not_repeatable' as is_repeatable,
    array(
        select coalesce(sum((age = hour)::integer), 0)::integer
        from generate_series(23, 0, -1) hour, unnest(array_agg(floor(extract(epoch from now() - failed_at) / 3600)::integer)) age
        group by hour order by hour desc) as hours
from dead_letter letter
where state = 'open'
group by queue, channel, error_code order by max(failed_at) desc limit 100

-- name: count_repeatable(most)
-- Open ones of stages that a replay repeats, as dead_letter_verdict_v2 has them; up to `most`.
select count(*) from (
    select from dead_letter where state = 'open' and (
        queue in ('incoming-messages', 'ai-processing', 'outgoing-messages', 'webhook-delivery')
        or queue in (select send_queue from channel))
    limit :most) letters

-- name: failing_endpoints
-- Those of which events are delivered again by themselves: nothing of them is given up yet.
select endpoint.id, endpoint.url, endpoint.customer_id, customer.name as customer, count(*) as events, min(event.created_at) as first_at,
    min(event.next_attempt_at) as next_at, (array_agg(event.response_status order by event.id desc))[1] as response_status
from webhook_event event join webhook_endpoint endpoint on endpoint.id = event.endpoint_id
    join customer on customer.id = endpoint.customer_id
where event.next_attempt_at is not null and event.status = 'FAILED'
group by endpoint.id, customer.id order by count(*) desc limit 50

-- name: settle(after, after_id, page)
-- What arrived after all, by a late status or another attempt, is nobody's to decide any more. Of those that failed in the last days, a
-- page at a time: older ones cost nothing.
with page_letters as materialized (
    select id, queue, message_id, webhook_event_id, failed_at from dead_letter
    where state = 'open' and failed_at > now() - interval '3 days' and (failed_at, id) > (:after::timestamptz, :after_id)
    order by failed_at, id limit :page
), arrived_letters as materialized (
    select letter.id from page_letters letter
    left join webhook_event event on event.id = letter.webhook_event_id
    left join message on message.id = letter.message_id and letter.queue not in ('ai-processing', 'incoming-messages', 'media-fetch')
    where event.status = 'DELIVERED' or message.status in ('SENT', 'DELIVERED', 'READ', 'SUPERSEDED')
), locked_letters as materialized (
    select id from dead_letter where id = any (array(select id from arrived_letters)) and state = 'open' order by id for update skip locked
), settled_letters as (
    update dead_letter set state = 'answered', changed_by = 'settled by itself', changed_at = clock_timestamp()
    where id = any (array(select id from locked_letters)) returning id
)
select failed_at, id, (select count(*) from settled_letters) as settled
from page_letters order by failed_at desc, id desc limit 1

-- name: prune_dead_letters(after, age, batch)
with deleted as (
    delete from dead_letter where id = any (array(
        select id from dead_letter where failed_at >= :after and failed_at < now() - make_interval(secs => :age)
        order by failed_at limit :batch))
    returning failed_at
)
select count(*) as rows, max(failed_at) as last from deleted

-- name: prune_bulk_actions(after, age, batch)
with deleted as (
    delete from bulk_action where id = any (array(
        select id from bulk_action where finished_at >= :after and finished_at < now() - make_interval(secs => :age)
        order by finished_at limit :batch))
    returning finished_at
)
select count(*) as rows, max(finished_at) as last from deleted
