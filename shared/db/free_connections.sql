-- name: free_connections
-- How many more connections this role may open to this database: the least of what the server, the role and the database allow.
select least(
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0) - count(*), -- from PostgreSQL 16 on
    nullif((select rolconnlimit from pg_roles where rolname = current_user), -1)
        - count(*) filter (where usename = current_user),
    nullif((select datconnlimit from pg_database where datname = current_database()), -1)
        - count(*) filter (where datname = current_database()))
from pg_stat_activity where datid is not null
