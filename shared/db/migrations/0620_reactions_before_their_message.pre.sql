-- A reaction to a message that has not come yet, or whose id nobody knows yet: kept with it once it is there, and forgotten after an hour
-- (shared/channels/changes.py). The last one counts; '' takes it back.
create table parked_reaction (
    chatbot_id  bigint not null references chatbot on delete cascade,
    channel     text not null references channel,
    external_id text not null check (external_id <> ''),
    emoji       text not null,
    received_at timestamptz not null default now(),
    primary key (chatbot_id, channel, external_id)
);
create index parked_reaction_received_idx on parked_reaction (received_at);
