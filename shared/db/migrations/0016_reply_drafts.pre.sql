-- Conversations whose widget is open now, by the topic of their notifications (widget_changed): where the AI's reply is shown
-- while it is written. A web process renews the rows of its streams. A crash of PostgreSQL empties it, and nothing is lost.
create unlogged table open_page (
    topic      text primary key,
    open_until timestamptz not null
);

-- The reply that is being written in a conversation, as far as its visitor may see it. It is gone in the statement that saves
-- the reply; a crash of PostgreSQL empties the table, and nothing is lost.
create unlogged table reply_draft (
    conversation_id bigint primary key references conversation on delete cascade,
    reply_to        bigint not null,
    text            text not null,
    updated_at      timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
