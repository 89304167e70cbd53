-- name: lock(id)
-- A running action, unless another process takes a step of it, and how many rows its pace allows by now. After a pause of the runner
-- it makes up for five seconds at most.
select *, pace * least(extract(epoch from clock_timestamp() - stepped_at), 5) as due
from bulk_action where id = :id and state = 'running' for update skip locked

-- name: advance(id, position, counts)
update bulk_action set position = coalesce(:position, position), stepped_at = clock_timestamp(),
    counts = counts || (
        select coalesce(jsonb_object_agg(key, coalesce((counts ->> key)::integer, 0) + value::integer), '{}')
        from jsonb_each_text(:counts)),
    state = case when :position::bigint is null then 'done' else state end,
    finished_at = case when :position::bigint is null then clock_timestamp() end
where id = :id

-- name: stop(id, by)
update bulk_action set state = 'stopped', stopped_by = :by, finished_at = clock_timestamp()
where id = :id and state = 'running' returning id
