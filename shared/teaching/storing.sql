-- name: interrupt(source_id, base_id, lock_timeout)
-- Ends the statements that store documents of a source, or of a base: `store` of workers/knowledge_import.sql, which is known by its
-- lock. What comes behind this in its transaction gives up soon where somebody else has a lock.
with timeout as materialized (
    select set_config('lock_timeout', :lock_timeout, true)
), keys as (
    select hashtextextended('storing ' || id, 3) as key from knowledge_source, timeout
    where id = :source_id or knowledge_base_id = :base_id
)
select count(pg_cancel_backend(pid)) as ended
from keys
join pg_locks on objid = (key & 4294967295)::oid and classid = (key >> 32 & 4294967295)::oid and objsubid = 1
join pg_stat_activity activity using (pid)
where locktype = 'advisory' and granted and activity.datname = current_database() and activity.usename = current_user
