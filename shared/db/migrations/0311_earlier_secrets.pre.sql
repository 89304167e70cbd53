-- Secrets of an endpoint that were replaced before its `old_secret` was, and whose day is not over.
create table webhook_earlier_secret (
    id          bigint generated always as identity primary key,
    endpoint_id bigint not null references webhook_endpoint on delete cascade,
    secret      text not null, -- encrypted
    until       timestamptz not null
);
create index webhook_earlier_secret_endpoint_idx on webhook_earlier_secret (endpoint_id);
