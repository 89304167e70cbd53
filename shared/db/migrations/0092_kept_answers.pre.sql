-- Answers of the API to requests with an Idempotency-Key (web/api/idempotency.py), for a day.
create table kept_answer (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    key         text not null check (length(key) between 1 and 200),
    fingerprint text not null check (fingerprint ~ '^[0-9a-f]{64}$'), -- of what was asked
    path        text not null,
    -- Null: it is being worked on, or nobody knows what became of it.
    status      integer check (status between 200 and 299),
    answer      text, -- encrypted, for it may have a secret -- personal data
    created_at  timestamptz not null default now(),
    unique (customer_id, key),
    check ((status is null) = (answer is null))
);
create index kept_answer_created_idx on kept_answer (created_at); -- prune
