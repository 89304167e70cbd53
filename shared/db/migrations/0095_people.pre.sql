-- The people of the desk, and what they did (web/desk, shared/people).
create table app_user (
    id             bigint generated always as identity primary key,
    -- Null: an operator, who works for all customers.
    customer_id    bigint references customer on delete cascade,
    role           text not null check (role in ('agent', 'owner', 'operator')),
    email          text not null unique check (email = lower(email) and email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 254), -- personal data
    name           text not null check (name <> '' and length(name) <= 200), -- personal data
    -- Null: not chosen yet; a link lets its owner choose it.
    password_hash  text check (password_hash like '$argon2id$%'),
    language       text check (language ~ '^[a-z]{2}$'), -- null: the browser's
    -- Whether an operator may read what customers and chatbots wrote; the others always may.
    can_read_texts boolean not null default false,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    disabled_at    timestamptz,
    check ((role = 'operator') = (customer_id is null)),
    check (role = 'operator' or not can_read_texts)
);
create index app_user_customer_idx on app_user (customer_id, id);

-- One browser that is logged in. Only the SHA-256 of what its cookie holds is stored.
create table user_session (
    id         bigint generated always as identity primary key,
    user_id    bigint not null references app_user on delete cascade,
    hash       text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    address    text not null, -- personal data
    agent      text not null check (length(agent) <= 300), -- personal data; the browser's own words
    created_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);
create index user_session_user_idx on user_session (user_id);

-- A link that lets its holder choose a password, once. The newest of a user is the only one that works.
create table user_link (
    id         bigint generated always as identity primary key,
    kind       text not null check (kind in ('first_operator', 'invitation', 'reset')),
    user_id    bigint references app_user on delete cascade,
    hash       text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    check ((kind = 'first_operator') = (user_id is null))
);
create index user_link_user_idx on user_link (user_id);

-- What people changed, and which texts an operator read. Never the texts themselves, and no secrets.
create table audit_entry (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    user_id     bigint references app_user on delete set null, -- null: a command
    customer_id bigint references customer on delete cascade, -- null: it concerns no single one
    action      text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
    subject     text not null check (subject <> ''),
    subject_id  bigint,
    details     jsonb not null default '{}'
);
create index audit_entry_customer_idx on audit_entry (customer_id, id);
create index audit_entry_user_idx on audit_entry (user_id, id);
create index audit_entry_look_idx on audit_entry (user_id, subject, at) where action = 'texts.read';
