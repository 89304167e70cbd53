-- The front door: how a page names a chatbot, what it answers to what it cannot read, keys for businesses' servers, who may
-- send us what, whether a QR session is connected, and what came in and found no place.

alter table chatbot
    add column public_key text not null unique default ('pk_' || replace(gen_random_uuid()::text, '-', '')),
    add column allowed_origins text[] not null default '{}',
    add column unsupported_message text not null default
        'Sorry, I can only read text. Could you write it to me?' check (unsupported_message <> '');

alter table whatsapp_qr_session
    add column webhook_secret text,
    add column state text not null default 'unknown' check (state in ('unknown', 'connected', 'disconnected')),
    add column state_detail text,
    add column state_at timestamptz;

alter table message add column idempotency_key text;
create unique index message_idempotency_idx on message (conversation_id, idempotency_key) where idempotency_key is not null;

create index conversation_page_idx on conversation (chatbot_id, id desc);

create table api_key (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    name        text not null check (name <> ''),
    hash        text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);
create index api_key_customer_idx on api_key (customer_id);

create table inbound_reject (
    id          bigint generated always as identity primary key,
    source      text not null check (source in ('whatsapp_cloud', 'whatsapp_qr')),
    reason      text not null check (reason <> ''),
    subject     text,
    payload     text not null,
    received_at timestamptz not null default now()
);
create index inbound_reject_received_idx on inbound_reject (received_at);
