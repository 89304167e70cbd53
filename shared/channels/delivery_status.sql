-- name: apply_statuses
-- By our own id or by the provider's. One statement: the guard and the move cannot be parted. Of several statuses of one
-- message the furthest moves it; messages are updated in the order of their ids, so that two processes never wait for each other.
with input as (
    select * from jsonb_to_recordset($1)
        as i(n integer, status text, provider_id text, message_id bigint, error text, error_code text, chatbot_id bigint)
), matches as materialized (
    select input.*, message.id from input join message on message.id = input.message_id
        and message.id = any (array(select message_id from input)) -- by the index, also where the plan was made on an empty table
    where message.role = 'assistant' and message.chatbot_id = coalesce(input.chatbot_id, message.chatbot_id)
    union all
    select input.*, message.id from input join message on message.external_id = input.provider_id
        and message.external_id = any (array(select provider_id from input))
    where input.message_id is null and message.role = 'assistant'
      and message.chatbot_id = coalesce(input.chatbot_id, message.chatbot_id)
), furthest as materialized (
    select distinct on (id) * from matches order by id, status_rank_v2(status) desc, n
), moved as materialized (
    select furthest.*, message_set_status_v2(id, status, error, provider_id, p_metadata =>
        case when status = 'FAILED' then jsonb_build_object('error_code', error_code) else '{}' end) as has_moved from furthest
), new_events as materialized (
    select n, events_add_v1(jsonb_build_array(event)) as tickets
    from moved, message_status_event_v1(id, status, error, error_code) event where has_moved and event is not null
)
select n, coalesce(bool_or(has_moved), false) as applied,
    jsonb_path_query_array(coalesce(jsonb_agg(tickets) filter (where tickets is not null), '[]'), '$[*][*]') as tickets
from matches left join moved using (n) left join new_events using (n) group by n

-- name: park_statuses(statuses)
insert into parked_status (provider_id, status, error, error_code, chatbot_id)
select provider_id, status, error, error_code, chatbot_id
from jsonb_to_recordset(:statuses)
    as input(provider_id text, status text, error text, error_code text, chatbot_id bigint, marks text[])
where not exists (select from tombstone where mark = any (input.marks)) -- of an erased person's reply

-- name: apply_parked(provider_ids)
with matches as (
    select parked.id, parked.status, parked.error, parked.error_code, message.id as message_id
    from parked_status parked join message on message.external_id = parked.provider_id and message.role = 'assistant'
        and message.chatbot_id = coalesce(parked.chatbot_id, message.chatbot_id)
    where parked.provider_id = any (:provider_ids)
), furthest as materialized (
    select distinct on (message_id) message_id, status, error, error_code
    from matches order by message_id, status_rank_v2(status) desc
), moved as materialized (
    select furthest.*, message_set_status_v2(message_id, status, error, p_metadata =>
        case when status = 'FAILED' then jsonb_build_object('error_code', error_code) else '{}' end) as has_moved from furthest
), new_events as materialized (
    select events_add_v1(jsonb_build_array(event)) as tickets
    from moved, message_status_event_v1(message_id, status, error, error_code) event where has_moved and event is not null
), applied_statuses as (
    delete from parked_status where id in (select id from matches) and (select count(has_moved) from moved) > 0
)
select jsonb_path_query_array(coalesce(jsonb_agg(tickets), '[]'), '$[*][*]') as tickets from new_events

-- name: late_parked_statuses(page)
-- A status that came between a send's statement and its commit saw neither the message nor its own time to come back.
select distinct parked.provider_id
from parked_status parked join message on message.external_id = parked.provider_id and message.role = 'assistant'
    and message.chatbot_id = coalesce(parked.chatbot_id, message.chatbot_id)
limit :page

-- name: prune_parked(after, age, batch)
with deleted_statuses as (
    delete from parked_status where id = any (array(
        select id from parked_status where received_at >= :after and received_at < now() - make_interval(secs => :age)
        order by received_at limit :batch))
    returning received_at
)
select count(*) as rows, max(received_at) as last from deleted_statuses

-- name: prune_rejects(after, age, batch)
with deleted_rejects as (
    delete from inbound_reject where id = any (array(
        select id from inbound_reject where received_at >= :after and received_at < now() - make_interval(secs => :age)
        order by received_at limit :batch))
    returning received_at
)
select count(*) as rows, max(received_at) as last from deleted_rejects
