-- A bot that talks to another bot falls silent for a while, and its business hears of it.

alter table conversation add column braked_until timestamptz, add column brakes smallint not null default 0;
create index message_reply_idx on message (conversation_id, created_at) where reply_to is not null;

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (
        events <@ '{message.received,message.sent,message.failed,conversation.braked}'::text[] and cardinality(events) > 0),
    alter column events set default '{message.received,message.sent,message.failed,conversation.braked}';
