-- How much each queue did, and how long its jobs waited, by minute: job records are gone after an hour.
create table queue_minute (
    queue        text not null,
    minute       timestamptz not null,
    completed    integer not null check (completed >= 0),
    failed       integer not null check (failed >= 0),
    wait_seconds real not null check (wait_seconds >= 0),
    longest_wait real not null check (longest_wait >= 0),
    primary key (minute, queue)
);
