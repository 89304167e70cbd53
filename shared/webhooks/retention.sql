-- Ids rise with time, so the oldest rows are the first ones of the primary key: the first that is too young ends the search.

-- name: prune_attempts(days, after, batch)
with oldest_attempts as materialized (
    select id, started_at from webhook_attempt where id > :after order by id limit :batch
), deleted_attempts as (
    delete from webhook_attempt where id = any (array(
        select id from oldest_attempts where started_at < now() - make_interval(days => :days)))
    returning id
)
select count(*) as rows, max(id) as last from deleted_attempts

-- name: prune_events(days, after, batch)
with oldest_events as materialized (
    select id, created_at from webhook_event where id > :after order by id limit :batch
), deleted_events as (
    delete from webhook_event where id = any (array(
        select id from oldest_events where created_at < now() - make_interval(days => :days)))
    returning id
)
select count(*) as rows, max(id) as last from deleted_events
