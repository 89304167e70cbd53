-- name: number_unread(endpoint_id, batch)
-- The lock of the endpoint keeps readers one after the other until they commit: a higher number is never seen before a lower one.
with locked_endpoint as materialized (
    select id from webhook_endpoint where id = :endpoint_id for no key update
), unread_events as materialized (
    select unread.id, nextval('webhook_event_position') as number from locked_endpoint, lateral (
        select id from webhook_event where endpoint_id = locked_endpoint.id and position = 0 order by id limit :batch) unread
)
update webhook_event set position = number, status = 'DELIVERED', delivered_at = clock_timestamp()
from unread_events where webhook_event.id = any (array(select id from unread_events)) and webhook_event.id = unread_events.id
    and position = 0 -- another reader may have had the lock before
returning webhook_event.id

-- name: looked_at(endpoint_id, after, scan)
-- The events that one page is chosen from, of which a filter may leave out all: how many, and the position of the last one.
select max(position) as last, count(*) as events
from (select position from webhook_event where endpoint_id = :endpoint_id and position > 0 and position > :after
      order by position limit :scan) page_events
