-- Whose phone a @lid is can be asked for at a gateway: when each was, and when it is again.
alter table contact_identity
    add column lookups smallint not null default 0 check (lookups >= 0),
    add column lookup_at timestamptz,
    add constraint contact_identity_lookup_check check (lookup_at is null or name like '%@lid' and lookups > 0);
create index contact_identity_lookup_idx on contact_identity (chatbot_id, coalesce(lookup_at, '-infinity'))
    where name like '%@lid' and (lookups = 0 or lookup_at is not null);
