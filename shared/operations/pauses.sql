-- name: release(id, pace, limit)
select pause_release_v2(:id, :pace, :limit) as tickets

-- name: ended
-- Pauses that are over, and for which a job is still parked. From one name to the next by the index: the jobs behind one may be many.
with recursive names(name) as (
    select min(waits_for) from job where waits_for is not null and closed_at is null
    union all
    select (select min(waits_for) from job where waits_for > names.name and closed_at is null) from names where names.name is not null
)
select substring(name from 7)::bigint as id from names
where name ~ '^pause [0-9]+$' and not exists (select from pause where pause.id = substring(name from 7)::bigint)
