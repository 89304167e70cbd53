-- E-mails to owners about an endpoint that will be, or was, disabled; each until the mail server has taken it (shared/webhooks/notices.py).
create table endpoint_notice (
    id          bigint generated always as identity primary key,
    endpoint_id bigint not null references webhook_endpoint on delete cascade,
    user_id     bigint not null references app_user on delete cascade,
    state       text not null check (state in ('failing', 'disabled')),
    disables_at timestamptz not null,
    attempts    smallint not null default 0 check (attempts >= 0),
    due_at      timestamptz not null default now(),
    created_at  timestamptz not null default now(),
    unique (endpoint_id, user_id, state)
);
create index endpoint_notice_due_idx on endpoint_notice (due_at);
create index endpoint_notice_user_idx on endpoint_notice (user_id);
