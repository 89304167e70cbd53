-- Message templates of WhatsApp business accounts, and which account a number is of.
create table whatsapp_business (
    waba_id             text primary key check (waba_id <> ''),
    templates_synced_at timestamptz,
    templates_tried_at  timestamptz,
    templates_error     text
);
alter table whatsapp_cloud_account add column waba_id text references whatsapp_business;
create index whatsapp_cloud_account_waba_idx on whatsapp_cloud_account (waba_id);
create table whatsapp_template (
    id          bigint generated always as identity primary key,
    waba_id     text not null references whatsapp_business on delete cascade,
    provider_id text, -- Meta's
    name        text not null check (name <> ''),
    language    text not null check (language <> ''),
    status      text not null, -- Meta's: only APPROVED may be sent
    category    text,
    quality     text,
    reason      text, -- why Meta rejected or paused it
    components  jsonb not null default '[]' check (jsonb_typeof(components) = 'array'),
    updated_at  timestamptz not null default now(),
    unique (waba_id, name, language)
);
