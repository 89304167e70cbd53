-- What the send stages share, whatever their channel.

-- name: record_send
-- Keeps the provider's answer: SENT, or what a status said meanwhile (it may have come before the answer was stored, or may
-- have settled the message already), usage, event, the job's end.
with input as materialized (
    select * from jsonb_to_recordset($1) as i(n integer, job_id bigint, claim integer, queue text, message_id bigint,
        provider_id text, ids text[], attempt integer, metadata jsonb, customer_id bigint, channel text)
), early_statuses as (
    delete from parked_status parked using input join message on message.id = input.message_id
    where parked.provider_id = any (input.ids) and coalesce(parked.chatbot_id, message.chatbot_id) = message.chatbot_id
    returning input.n, parked.status, parked.error, parked.error_code
), furthest as (
    select distinct on (n) n, status, error, error_code from (
        select n, status, error, error_code from early_statuses union all select n, 'SENT', null, null from input) statuses
    order by n, status_rank_v2(status) desc
), locked_messages as materialized ( -- in the order in which statuses go through them (delivery_status.sql)
    select id, conversation_id, chatbot_id, channel, reply_to, status, kind from message
    where id = any (array(select message_id from input)) order by id for no key update
), sent_messages as materialized (
    select input.*, message.id, message.conversation_id, message.chatbot_id, message.reply_to, message.kind,
        case when furthest.status <> 'SENT' and status_rank_v2(message.status) < status_rank_v2(furthest.status)
            then message_status_event_v1(message.id, furthest.status, furthest.error, furthest.error_code) end as status_event,
        message_set_status_v2(message.id, furthest.status, furthest.error, input.provider_id, input.attempt,
        input.metadata || case furthest.status when 'FAILED' then jsonb_build_object('error_code', furthest.error_code)
            else '{}' end) as is_kept
    from input join furthest using (n) join locked_messages message on message.id = input.message_id
), usage as (
    insert into usage_log (customer_id, kind, message_id) select customer_id, channel, id from sent_messages where is_kept
    on conflict do nothing
)
select jsonb_agg(n) as done, job_complete_v2(
    min(queue), jsonb_object_agg(job_id, claim), '[]',
    jsonb_agg(message_event_v2('message.sent', customer_id, chatbot_id, conversation_id, channel, id,
        jsonb_build_object('reply_to', reply_to, 'provider_id', provider_id)
            || case when kind = 'text' then '{}' else jsonb_build_object('kind', kind) end))
        || coalesce(jsonb_agg(status_event) filter (where status_event is not null), '[]')) as tickets
from sent_messages where is_kept having count(*) > 0

-- name: keep_parts_sent(message_id, count, part_ids)
update message set metadata = metadata || jsonb_build_object('parts_sent', :count::integer), part_ids = part_ids || :part_ids::text[]
where id = :message_id
