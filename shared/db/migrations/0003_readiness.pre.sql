-- What /readyz writes to, so that it says ok only while PostgreSQL takes writes.
create table readiness (
    id         smallint primary key check (id = 1),
    checked_at timestamptz not null
);
