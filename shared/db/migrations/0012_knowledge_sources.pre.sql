-- Items come from files and pages, which are imported by jobs.

-- Where items of a base come from (shared/knowledge/sources.py): an uploaded file, a page, or the pages of a sitemap.
create table knowledge_source (
    id                bigint generated always as identity primary key,
    knowledge_base_id bigint not null references knowledge_base on delete cascade,
    kind              text not null check (kind in ('file', 'url', 'sitemap')),
    -- The file's name, or the URL. The same one again is the same source, and what it brought before is replaced.
    location          text not null check (location <> '' and length(location) <= 2000),
    -- Of its items. Null: as each document says, or its base's.
    language          text check (knowledge_language_is_known(language)),
    -- Null: it is read again only when somebody asks.
    sync_hours        integer check (sync_hours between 1 and 8760),
    -- listing: a job finds its documents. listed: they are known; each of them says how far it is. failed: they could not be
    -- found. stopped: its owner wanted no more of it.
    state             text not null default 'listing' check (state in ('listing', 'listed', 'stopped', 'failed')),
    error             text,
    -- The site's robots.txt, as it was at the last listing.
    robots            text,
    -- Documents that the last listing did not find any longer, or whose page is gone; their items went with them.
    removed           integer not null default 0 check (removed >= 0),
    created_at        timestamptz not null default now(),
    synced_at         timestamptz not null default now(), -- when its last sync began
    next_sync_at      timestamptz,
    unique (knowledge_base_id, kind, location),
    check (state <> 'failed' or error is not null)
);
create index knowledge_source_due_idx on knowledge_source (next_sync_at) where next_sync_at is not null;

-- A file or page. One job reads it and replaces its items.
create table knowledge_document (
    id            bigint generated always as identity primary key,
    source_id     bigint not null references knowledge_source on delete cascade,
    location      text not null check (location <> '' and length(location) <= 2000),
    -- waiting: its job is open. skipped: it must not or need not be read (noindex, robots.txt, a copy), `error` says why.
    state         text not null default 'waiting' check (state in ('waiting', 'stored', 'skipped', 'failed', 'stopped')),
    -- What the last reading found, compared with the one before.
    change        text check (change in ('added', 'changed', 'unchanged')),
    -- In its owner's words. Of a stored one: what was left out.
    error         text,
    url           text check (url_is_normalized(url)), -- of a page: its canonical address
    etag          text,
    last_modified text,
    content_hash  text, -- of its text
    items         integer not null default 0 check (items >= 0),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    unique (source_id, location),
    check (state not in ('skipped', 'failed') or error is not null)
);

-- The bytes of an uploaded file, until its job has read them.
create table knowledge_upload (
    document_id bigint primary key references knowledge_document on delete cascade,
    body        bytea not null check (octet_length(body) <= 20971520), -- 20 MB (shared/knowledge/documents.py)
    created_at  timestamptz not null default now()
);
create index knowledge_upload_created_idx on knowledge_upload (created_at); -- prune

alter table knowledge_item add column document_id bigint references knowledge_document on delete cascade;
create index knowledge_item_document_idx on knowledge_item (document_id) where document_id is not null;
