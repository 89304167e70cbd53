-- The bot says that it does not know, hands a conversation over to a person, and remembers what it could not answer.

alter table chatbot
    add column handover_message text default 'I am passing this on to a colleague, who will get back to you.'
        check (handover_message <> ''),
    add column no_answer_message text not null default 'I am sorry, I do not know the answer to that.'
        check (no_answer_message <> ''),
    add column no_answer_hands_over boolean not null default false,
    add column cite_sources boolean not null default true;

alter table conversation
    add column handed_over_at timestamptz,
    add column handover_reason text,
    add constraint conversation_check check ((handed_over_at is null) = (handover_reason is null));

-- Questions that a bot had no good answer to (shared/teaching/gaps.py), one row each; like ones are grouped when they are read.
create table knowledge_gap (
    id                bigint generated always as identity primary key,
    knowledge_base_id bigint not null references knowledge_base on delete cascade,
    chatbot_id        bigint not null references chatbot on delete cascade,
    message_id        bigint not null unique references message on delete cascade,
    question          text not null check (question <> '' and length(question) <= 1000),
    language          text not null,
    -- The stems of its words in that language, by which it is found to be like others.
    words             text[] not null,
    reason            text not null check (reason ~ '^[a-z_]+$'),
    created_at        timestamptz not null default now(),
    -- When somebody answered or dismissed it; the item that answers it.
    closed_at         timestamptz,
    knowledge_item_id bigint references knowledge_item on delete set null
);
create index knowledge_gap_open_idx on knowledge_gap (knowledge_base_id, id desc) where closed_at is null;
create index knowledge_gap_chatbot_idx on knowledge_gap (chatbot_id);
create index knowledge_gap_item_idx on knowledge_gap (knowledge_item_id);
create index knowledge_gap_created_idx on knowledge_gap (created_at);

alter table webhook_endpoint
    drop constraint webhook_endpoint_events_check,
    add constraint webhook_endpoint_events_check check (
        events <@ '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff}'::text[]
        and cardinality(events) > 0),
    alter column events set default '{message.received,message.sent,message.failed,conversation.braked,conversation.handoff}';
