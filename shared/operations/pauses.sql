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

-- name: forget_plans
-- Of pauses behind which nothing is parked any more: whoever released the last of it died before that was noted.
delete from pause_release where pause_id = any (array(
    select pause_id from pause_release release
    where not exists (select from job where waits_for = 'pause ' || release.pause_id and closed_at is null)
    for update skip locked))
