-- name: oldest_transactions(seconds)
-- Those that were there when a lock was asked for so many seconds ago, and that have locked a table or read one.
select pid, coalesce(nullif(application_name, ''), backend_type, 'unknown') as program, state,
    extract(epoch from clock_timestamp() - xact_start)::integer as age
from pg_stat_activity transaction
where datname = current_database() and pid <> pg_backend_pid()
  and coalesce(xact_start < clock_timestamp() - make_interval(secs => :seconds), true)
  and exists (select from pg_locks where pg_locks.pid = transaction.pid and locktype = 'relation' and granted and relation >= 16384)
order by xact_start limit 5
