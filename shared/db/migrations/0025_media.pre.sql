-- What a message came with: pictures, voice notes, files. Their bytes are in the storage (shared/media/storage.py).
create table media (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    message_id  bigint not null references message on delete cascade,
    position    smallint not null check (position >= 0),
    kind        text not null check (kind in ('image', 'voice', 'audio', 'video', 'document', 'sticker')),
    -- As the channel says; once it is stored, what the bytes are.
    mime        text check (length(mime) <= 255),
    filename    text check (length(filename) <= 255),
    size        bigint check (size >= 0),
    sha256      text check (length(sha256) <= 100), -- once it is stored: of its bytes, in hex
    -- What its channel needs to fetch it: {"id"}, {"url"}, {"message"}, {"file_id"}.
    source      jsonb not null default '{}' check (jsonb_typeof(source) = 'object'),
    -- waiting: to be fetched. failed: it could not be, `error` says why. deleted: it was kept for KEEP_MEDIA_DAYS.
    state       text not null default 'waiting' check (state in ('waiting', 'stored', 'failed', 'deleted')),
    storage_key text check (storage_key <> ''),
    -- A voice note's transcript, a document's text.
    text        text,
    error       text,
    created_at  timestamptz not null default now(),
    unique (message_id, position),
    check ((state = 'stored') = (storage_key is not null)),
    check (state <> 'failed' or error is not null)
);
create index media_stored_idx on media (created_at) where state = 'stored'; -- retention
create index media_file_idx on media (customer_id, sha256) where state = 'stored';

-- The files of the storage, each once for a customer however many messages have it: written before the bytes are, so that no file is
-- unknown. One that no row of `media` names any longer is deleted after a day, and this row with it. Not deleted with its customer,
-- for its bytes would stay.
create table media_file (
    customer_id bigint not null,
    sha256      text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size        bigint not null check (size > 0),
    -- When a message last had it.
    wanted_at   timestamptz not null default now(),
    primary key (customer_id, sha256)
);
create index media_file_wanted_idx on media_file (wanted_at);

-- incoming-messages -> media-fetch, where there is media to fetch. One conversation's go one after another.
create function media_job_v1(p_customer_id bigint, p_priority smallint, p_message_id bigint, p_conversation_id bigint)
returns jsonb language sql stable as $$
    select jsonb_build_object('queue', 'media-fetch', 'priority', p_priority, 'customer_id', p_customer_id,
        'message_id', p_message_id, 'ordering_key', p_conversation_id::text, 'payload', jsonb_build_object(
            'message_id', p_message_id, 'conversation_id', p_conversation_id))
$$;
