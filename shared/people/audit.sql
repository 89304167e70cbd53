-- name: prune(days, after, batch)
-- Ids rise with time, so the oldest rows are the first ones of the primary key.
with oldest_entries as materialized (
    select id, at from audit_entry where id > :after order by id limit :batch
), deleted_entries as (
    delete from audit_entry where id = any (array(
        select id from oldest_entries where at < now() - make_interval(days => :days)))
    returning id
)
select count(*) as rows, max(id) as last from deleted_entries
