-- A message says what it is and when it was written; and who wrote it may be a person of the business, on the phone.
alter table message
    add column kind text not null default 'text' check (kind ~ '^[a-z_]+$'),
    add column sent_at timestamptz,
    add column data jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    drop constraint message_role_check,
    add constraint message_role_check check (role in ('user', 'assistant', 'agent')),
    drop constraint message_check,
    add constraint message_check check (
        case role when 'user' then reply_to is null and status = 'DELIVERED' when 'agent' then reply_to is null else true end);
create unique index message_agent_idx on message (chatbot_id, channel, external_id) where role = 'agent';
