-- A call to an endpoint, and what came of it. Its endpoint and customer are the event's; it goes when the event goes.
create table webhook_attempt (
    id          bigint generated always as identity primary key,
    event_id    bigint not null references webhook_event on delete cascade,
    endpoint_id bigint not null,
    customer_id bigint not null,
    number      integer not null check (number > 0), -- of the event's; the receiver's X-Webhook-Attempt
    -- first      the event was new; with the retries of the following seconds
    -- automatic  it had failed, and its time came again
    -- manual, bulk  somebody wanted it, or all events of a time, delivered again
    -- test       somebody tries the endpoint
    trigger     text not null check (trigger in ('first', 'automatic', 'manual', 'bulk', 'test')),
    started_at  timestamptz not null,
    -- {resolve, connect, tls, answer}: those that there were.
    ms          jsonb not null default '{}' check (jsonb_typeof(ms) = 'object'),
    status      integer check (status between 100 and 999), -- HTTP's; null: there was no answer
    answer      text check (length(answer) <= 4096), -- the first 4 KiB of it -- personal data
    error_code  text check (error_code ~ '^[a-z0-9_]+$'), -- shared/webhooks/attempts.py
    error       text,
    next_at     timestamptz, -- of the next attempt, if there will be one by itself
    unique (event_id, number),
    check ((error_code is null) = (error is null) and (error is null) = (coalesce(status, 0) between 200 and 299)),
    check (next_at is null or error is not null)
);
create index webhook_attempt_endpoint_idx on webhook_attempt (endpoint_id, id desc);
