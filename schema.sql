-- Switchboard: the whole truth about what PostgreSQL remembers (PostgreSQL 14 or newer).
--
-- This file is what a database looks like today. `scripts/migrate` runs it on an empty database; an older one gets here
-- by shared/db/migrations/, and a test proves that both ways end in the same place. Money is integer cents, every time is a
-- timestamptz, and what must never happen is forbidden here, not only in Python.
--
-- Functions that Python calls carry a version (job_claim_v1), for during a deploy old workers run beside a new schema. One
-- that was released never changes its arguments or its meaning: its successor is job_claim_v2, added by a migration
-- `NNNN_name.pre.sql`, which runs before the new workers start; job_claim_v1 is dropped by `NNNN_name.post.sql`, which runs
-- when the last old worker is gone (scripts/migrate --post). Columns follow the same rule: added nullable or with a
-- default before, dropped after. Functions without a version are called from this file only.

-- --------------------------------------------------------------------------------------------------- channels

-- The list of channels. shared/channels/registry.py describes each one; a test compares the two.
create table channel (
    name       text primary key check (name ~ '^[a-z][a-z_]*$'),
    -- The queue of the stage that sends its replies. Null: nobody is called; a reply is SENT once the open page may show it.
    send_queue text unique check (send_queue ~ '^[a-z]+(-[a-z]+)*$')
);
insert into channel (name, send_queue) values
    ('widget', null), ('whatsapp_cloud', 'whatsapp-cloud-send'), ('whatsapp_qr', 'whatsapp-qr-send'),
    ('telegram', 'telegram-send');

-- ---------------------------------------------------------------------------------------------------- tenants

create table customer (
    id               bigint generated always as identity primary key,
    name             text not null check (name <> ''),
    plan_price_cents integer not null default 0 check (plan_price_cents >= 0),
    -- The priority of this customer's AI jobs: 1 from $100, 3 from $50, 5 below (shared/queues.py).
    priority         smallint not null generated always as (
        case when plan_price_cents >= 10000 then 1 when plan_price_cents >= 5000 then 3 else 5 end) stored,
    created_at       timestamptz not null default now(),
    -- Days after which its messages, and files, are deleted (shared/privacy/retention.py). 0: never. Null: KEEP_MESSAGES_DAYS,
    -- KEEP_MEDIA_DAYS. Not below a week, for providers deliver a message again for as long.
    keep_messages_days integer check (keep_messages_days = 0 or keep_messages_days between 7 and 36500),
    keep_media_days  integer check (keep_media_days between 0 and 36500)
);

-- Whether a URL is one as shared/http/urls.py makes it: scheme and host in lower case, no credentials, printable ASCII.
create function url_is_normalized(url text) returns boolean language sql immutable parallel safe as $$
    select url ~ '^https?://[^A-Z/?#@\\]+([/?][^#\\]*)?$' and url ~ '^[!-~]+$'
$$;

-- The languages whose words PostgreSQL can stem (to_tsvector), and 'simple' for all others: words as they are.
create function knowledge_language_is_known(language text) returns boolean language sql immutable parallel safe as $$
    select language in ('simple', 'english', 'german', 'spanish', 'portuguese', 'french', 'italian', 'dutch', 'arabic', 'danish',
        'finnish', 'greek', 'hungarian', 'norwegian', 'romanian', 'russian', 'swedish', 'turkish')
$$;

create table knowledge_base (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    name        text not null check (name <> ''),
    -- That of an item which does not say its own.
    language    text not null default 'english' check (knowledge_language_is_known(language)),
    -- Those of its items, now or before: a question is read in each of them.
    languages   text[] not null default '{}',
    unique (customer_id, id),
    -- Whose vectors its items have beside their words (shared/ai/embeddings.py); null: nobody's, its search is lexical alone.
    embedding_model text check (embedding_model <> ''),
    -- Whose vectors are complete, and serve: while those of a new model are made, the old ones.
    embedded_model text,
    -- Why they could not be made, for its owner; null once they are complete.
    embedding_error text
);

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
    -- Of the last reading: items that are new, and items that are no longer.
    items_added   integer not null default 0 check (items_added >= 0),
    items_removed integer not null default 0 check (items_removed >= 0),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    -- Of a file: the job that was still open when its latest version came. What that one brings does not count any more.
    superseded_job bigint,
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

create table knowledge_item (
    id                bigint generated always as identity primary key,
    knowledge_base_id bigint not null references knowledge_base on delete cascade,
    -- Its own, or null in an insert: its base's. It follows a change of its base's (knowledge_base_language).
    language          text not null check (knowledge_language_is_known(language)),
    title             text not null check (title <> '' and length(title) <= 500),
    -- A long page. The prompt takes the beginning of an item (shared/ai/prompt.py): what is longer belongs in several items.
    content           text not null check (content <> '' and length(content) <= 50000),
    document_id       bigint references knowledge_document on delete cascade, -- null: written by hand, or through the API
    -- What is switched off is kept, and not found.
    is_active         boolean not null default true,
    -- The page that it was taken from, or that a customer may be sent to, and whether an answer may show it.
    url               text check (url_is_normalized(url) and length(url) <= 2000),
    show_link         boolean not null default true,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    -- The conversation in which its title was asked: the words are a customer's, and go with the person (shared/teaching/askers.py).
    -- Null: they are the business's. No foreign key: a conversation that became a part of another keeps its id there.
    asked_in          bigint
);
create index knowledge_item_asked_idx on knowledge_item (asked_in) where asked_in is not null;
create index knowledge_item_base_idx on knowledge_item (knowledge_base_id);
create index knowledge_item_document_idx on knowledge_item (document_id) where document_id is not null;

-- An item that does not say its language has its base's.
create function knowledge_item_defaults() returns trigger language plpgsql as $$
begin
    if new.language is null then
        select language into new.language from knowledge_base where id = new.knowledge_base_id;
        -- Of no base: the foreign key says so, after this.
        new.language := coalesce(new.language, 'simple');
    end if;
    if tg_op = 'UPDATE' then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end $$;
create trigger knowledge_item_defaults before insert or update on knowledge_item
    for each row execute function knowledge_item_defaults();

-- Items that have their base's language keep to it when it changes.
create function knowledge_base_language() returns trigger language plpgsql as $$
begin
    update knowledge_item set language = new.language where knowledge_base_id = new.id and language = old.language;
    return null;
end $$;
create trigger knowledge_base_language after update of language on knowledge_base
    for each row when (new.language <> old.language) execute function knowledge_base_language();

-- Adds the job that makes the vectors a base lacks (workers/knowledge_embed.py), unless one has not begun and will see this
-- change as well: its row is locked, so nobody claims it before this transaction is committed. Nobody tells Redis; the sweep does.
create function knowledge_embed_later(p_knowledge_base_id bigint) returns void language plpgsql as $$
declare
    v_key      text := 'base:' || p_knowledge_base_id;
    v_customer bigint;
begin
    if current_setting('switchboard.embed_later', true) = v_key then
        return; -- asked for in this transaction already
    end if;
    select customer_id into v_customer from knowledge_base
    where id = p_knowledge_base_id and coalesce(embedding_model, embedded_model) is not null;
    if not found then
        return;
    end if;
    perform job_lock('knowledge-embedding', array[v_key]);
    perform from job where queue = 'knowledge-embedding' and ordering_key = v_key and closed_at is null and attempts = 0
        and state in ('waiting', 'delayed') limit 1 for update;
    if not found then
        perform job_add_v1(jsonb_build_array(jsonb_build_object('queue', 'knowledge-embedding', 'ordering_key', v_key,
            'customer_id', v_customer, 'payload', jsonb_build_object('knowledge_base_id', p_knowledge_base_id))));
    end if;
    perform set_config('switchboard.embed_later', v_key, true);
end $$;

create function knowledge_item_embed_later() returns trigger language plpgsql as $$
begin
    perform knowledge_embed_later(new.knowledge_base_id);
    return null;
end $$;
-- At the commit: an import does not keep others waiting while it inserts.
create constraint trigger knowledge_item_embed_later after insert or update of knowledge_base_id, title, content on knowledge_item
    deferrable initially deferred for each row execute function knowledge_item_embed_later();

create function knowledge_base_embed_later() returns trigger language plpgsql as $$
begin
    perform knowledge_embed_later(new.id);
    return null;
end $$;
-- Also if it names the same model again: that is how an owner tries once more after an error.
create trigger knowledge_base_embed_later after update of embedding_model on knowledge_base
    for each row execute function knowledge_base_embed_later();

-- ------------------------------------------------------------------------------------------- knowledge search
--
-- BM25 over three forms of each word: its stem, the word as it is, its first four letters (shared/README.md, "Knowledge search").
-- What each message asks is plpgsql, whose plans a session keeps.

-- A text as the search reads it: in lower case, without the marks on letters that people leave out and what nobody sees, with the
-- digits of Europe, and nothing between two words but a blank. An accent is one of its own here, behind its letter (nfkd): it goes, but
-- for й, ї and such, which are letters of the Cyrillic alphabet. Arabic keeps its letters: its stemmer knows how each is written.
create function knowledge_fold(p_text text) returns text language sql immutable parallel safe as $$
    select translate(case when octet_length(p_text) = length(p_text) then lower(p_text) else
            replace(replace(replace(replace(replace(regexp_replace(normalize(regexp_replace(lower(normalize(p_text, nfkd)),
                '([^\u0400-\u04ff]|е)[\u0300-\u036f]+|([аиоуыэюяі])[\u0300\u0301]+', '\1\2', 'g'), nfc),
                -- soft hyphens and signs without width; points of Hebrew; the bar that lengthens Arabic, and its vowels; nukta
                '[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7'
                    '\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u093c]', '', 'g'),
                'ß', 'ss'), 'œ', 'oe'), 'æ', 'ae'), 'þ', 'th'), U&'\0901', U&'\0902') -- चाँद is चांद
        end,
        'ςđðøłħŧıəیکʻʼ-–/_.@=&?#''’٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙',
        'σddolhtieيك              0123456789012345678901234567890123456789')
$$;

-- The words of a text and how often each is there. Chinese, Japanese, Thai, Lao, Burmese and Khmer have no blanks, and Korean words
-- end in particles: two characters are a word.
create function knowledge_words(p_text text) returns table (word text, count integer) language sql immutable parallel safe as $$
    select left(piece.word, 60), sum(coalesce(cardinality(token.positions), 1))::integer
    from unnest(to_tsvector('simple', knowledge_fold(p_text))) token, lateral (
        select token.lexeme as word
        where token.lexeme !~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]'
        union all
        select substr(token.lexeme, place, 2) from generate_series(1, greatest(length(token.lexeme) - 1, 1)) place
        where token.lexeme ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]'
    ) piece where piece.word <> all ('{니다,습니,합니,입니,됩니,세요,어요,아요,해요,나요,까요}') group by 1 -- how Korean sentences end
$$;

-- What is written with hyphens, or beside a number, as those write it who join it: "wifi" for "Wi-Fi", "ax3000" for "AX-3000" and for
-- "AX 3000", "5kg" for "5 kg". Each two parts, and all of them.
create function knowledge_compounds(p_text text) returns table (word text) language sql immutable parallel safe as $$
    select distinct joined.word
    from (
        select regexp_matches(p_text, '[[:alnum:]]+(?:[-_‐‑][[:alnum:]]+)+|[[:alpha:]]+ [0-9]+', 'g') as matched
        union all
        select regexp_matches(p_text, '[0-9]+ [[:alpha:]]+', 'g')) compound,
        lateral (select regexp_split_to_array(compound.matched[1], '[-_‐‑ ]') as all_of) parts,
        lateral (
            select knowledge_fold(array_to_string(parts.all_of, '')) as word
            union all
            select knowledge_fold(parts.all_of[place] || parts.all_of[place + 1])
            from generate_series(1, cardinality(parts.all_of) - 1) place) joined
    where length(joined.word) between 3 and 24
$$;

-- The words of a question: those of knowledge_words, which needs to look at each only where one is read in pieces or cut.
create function knowledge_asked_words(p_text text) returns setof text
language plpgsql immutable strict parallel safe rows 200 as $$
declare
    v_words text[] := tsvector_to_array(to_tsvector('simple', knowledge_fold(p_text)));
begin
    if array_to_string(v_words, ' ') ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|[^ ]{61}' then
        return query select word from knowledge_words(p_text);
    else
        return query select unnest(v_words);
    end if;
end $$;

-- The compounds of a question: most have nothing that looks like one.
create function knowledge_asked_compounds(p_text text) returns setof text
language plpgsql immutable strict parallel safe rows 90 as $$
begin
    if p_text ~ '[[:alnum:]][-_‐‑][[:alnum:]]|[[:alpha:]] [0-9]|[0-9] [[:alpha:]]' then
        return query select word from knowledge_compounds(p_text);
    end if;
end $$;

create function knowledge_stemmer(p_language text) returns regdictionary language sql stable parallel safe as $$
    select (case p_language when 'simple' then 'simple' else p_language || '_stem' end)::regdictionary
$$;

-- The words of each item that may be found: stems as they are, whole words behind '=', first letters behind '^', and '' once.
create table knowledge_word (
    knowledge_base_id bigint not null,
    word              text collate "C" not null,
    knowledge_item_id bigint not null,
    -- BM25's, without the rarity of the word, which the search knows.
    weight            real not null,
    primary key (knowledge_base_id, word, knowledge_item_id) include (weight)
);
create index knowledge_word_item_idx on knowledge_word (knowledge_item_id);

-- k1 is 0.8; b is 0.75, in titles 0.7; a title counts 2.5 times. Usual lengths are constants, a title's 9 words and a content's 80:
-- then a weight depends on its item alone, and an import writes its own rows only.
create function knowledge_item_words(p_language text, p_title text, p_content text) returns table (word text, weight real)
language plpgsql stable as $$
begin
    return query
    with fields (boost, b, usual_length, text) as (
        values (2.5::float8, 0.7::float8, 9.0::float8, p_title), (1.0, 0.75, 80.0, p_content)
    ), tokens as materialized (
        select boost, b, usual_length, token.word, token.count, token.is_compound, stem.stems[1] as stem
        from fields, (select knowledge_stemmer(p_language) as dictionary offset 0) stemmer,
            lateral (
                select word_of_text.word, word_of_text.count, false as is_compound from knowledge_words(fields.text) word_of_text
                union all select compound.word, 1, true from knowledge_compounds(fields.text) compound) token,
            lateral (select ts_lexize(stemmer.dictionary, token.word) as stems offset 0) stem
        where stem.stems <> '{}' -- a stop word
    ), lengths as (
        select tokens.boost, sum(tokens.count) as words from tokens where not is_compound group by tokens.boost
    ), forms as (
        select boost, b, usual_length, stem as form, count, 1.0::float8 as share from tokens
        union all select boost, b, usual_length, '=' || tokens.word, count, 0.25 from tokens
        union all select boost, b, usual_length, '^' || left(tokens.word, 4), count, 0.4 from tokens
            where length(tokens.word) > 4 and not is_compound
    ), counted as (
        select boost, b, usual_length, form, share, sum(count) as count from forms group by 1, 2, 3, 4, 5
    )
    select form, sum(share * boost * 1.8 * count / (count + 0.8 * (1 - b + b * lengths.words / usual_length)))::real
    from counted join lengths using (boost) group by form
    union all select '', 0;
end $$;

-- Keeps knowledge_word.
create function knowledge_item_changed() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        delete from knowledge_word where knowledge_item_id = old.id;
    end if;
    if tg_op <> 'DELETE' and new.is_active then
        insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
        select new.knowledge_base_id, word, new.id, weight from knowledge_item_words(new.language, new.title, new.content);
    end if;
    return null;
end $$;
create trigger knowledge_item_changed after insert or delete or update of knowledge_base_id, language, title, content, is_active
    on knowledge_item for each row execute function knowledge_item_changed();

-- Keeps the languages of a base, in the order in which they came. Once, at the end of a statement: who adds one has locked the base
-- from then on, and an import that made words for a minute would keep others waiting who add one.
create function knowledge_base_languages() returns trigger language plpgsql as $$
declare
    v_base_id   bigint;
    v_languages text[];
begin
    for v_base_id, v_languages in
        select knowledge_base_id, array_agg(language order by first_id) from (
            select item.knowledge_base_id, item.language, min(item.id) as first_id
            from new_items item join knowledge_base base on base.id = item.knowledge_base_id
            where item.is_active and item.language <> all (base.languages) group by 1, 2) new_languages
        group by 1 order by 1
    loop
        update knowledge_base base
        set languages = languages || array(select language from unnest(v_languages) language where language <> all (base.languages))
        where id = v_base_id;
    end loop;
    return null;
end $$;
create trigger knowledge_base_languages_of_new after insert on knowledge_item
    referencing new table as new_items for each statement execute function knowledge_base_languages();
create trigger knowledge_base_languages_of_changed after update on knowledge_item
    referencing new table as new_items for each statement execute function knowledge_base_languages();

-- All words that are one slip among the first four letters away: a letter left out, added, wrong, or two of them swapped. As whole
-- words in knowledge_word. Those that differ by a letter are made at a stroke: two hundred, for each word that a base lacks.
create function knowledge_slips(p_word text) returns text[] language sql immutable parallel safe as $$
    select string_to_array(string_agg(slips, '|'), '|') from (
        select '=' || overlay(p_word placing '' from place for 1) as slips from generate_series(1, 4) place
        union all
        select '=' || overlay(p_word placing reverse(substr(p_word, place, 2)) from place for 2) from generate_series(1, 4) place
        union all
        select '=' || before || array_to_string(letters, after || '|=' || before) || after
        from (select string_to_array(case when p_word ~ '[а-я]' then 'абвгдежзийклмнопрстуфхцчшщъыьэюя'
                                          when p_word ~ '[α-ω]' then 'αβγδεζηθικλμνξοπρστυφχψω'
                                          else 'abcdefghijklmnopqrstuvwxyz' end, null) as letters offset 0) alphabet,
            generate_series(1, 4) place, (values (0), (1)) change (instead),
            lateral (select left(p_word, place - 1) as before, substr(p_word, place + instead) as after) around
    ) early_slips
$$;

-- Patterns of the words whose slip is behind the first four letters. They are compared with the few words that begin alike, which
-- takes less time than to make and look up hundreds more.
create function knowledge_slip_patterns(p_word text) returns text[] language sql immutable parallel safe as $$
    select array_agg('=' || left(p_word, place - 1) || slip) from generate_series(5, length(p_word) + 1) place, lateral (
        values (substr(p_word, place + 1)), ('_' || substr(p_word, place + 1)), ('_' || substr(p_word, place)),
            (reverse(substr(p_word, place, 2)) || substr(p_word, place + 2))) slips (slip)
$$;

-- Words of a base, up to four and whole, that are a slip away from each of some words that it lacks.
create function knowledge_corrections(p_knowledge_base_id bigint, p_words text[]) returns table (asked text, word text)
language plpgsql stable rows 4 as $$
begin
    return query
    select unknown.word, substr(similar_word.word, 2) from unnest(p_words) unknown (word), lateral (
        select entry.word from knowledge_word entry
        where entry.knowledge_base_id = p_knowledge_base_id and entry.word = any (knowledge_slips(unknown.word))
        union
        select alike.word from (
            select distinct near.word from (
                select entry.word from knowledge_word entry
                where entry.knowledge_base_id = p_knowledge_base_id and entry.word >= '=' || left(unknown.word, 4)
                    and entry.word < '=' || left(unknown.word, 4) || U&'\+10FFFF' order by entry.word limit 2000) near) alike
        -- The patterns are made once for each word, and compared with words of about its length.
        where length(alike.word) between length(unknown.word) and length(unknown.word) + 2
            and alike.word like any ((select knowledge_slip_patterns(unknown.word))::text[])
        limit 4) similar_word;
end $$;

-- The stems of a word in each of some languages; null: a stop word.
create function knowledge_stems(p_stemmers regdictionary[], p_word text) returns table (stems text[])
language sql stable parallel safe as $$
    select case when cardinality(p_stemmers) = 1 then nullif(ts_lexize(p_stemmers[1], p_word), '{}') else (
        select array_agg(distinct lexemes[1])
        from (select ts_lexize(stemmer, p_word) as lexemes from unnest(p_stemmers) stemmer offset 0) each_language
        where lexemes <> '{}') end
    offset 0
$$;

-- The forms under which knowledge_word has a word. `is_whole`: more than its beginning.
create function knowledge_forms(p_word text, p_stems text[]) returns table (form text, is_whole boolean)
language sql immutable parallel safe as $$
    select unnest(p_stems || ('=' || p_word)), true
    union all select '^' || left(p_word, 4), false where length(p_word) > 4
$$;

-- Which of a base's `p_items` items have a form, `p_most` at most, and how rare that makes it; no row if none has. A word of more than
-- 5,000 items hardly tells them apart; nor, where less of each is read, is one counted that has as many as are read.
create function knowledge_first_postings(p_knowledge_base_id bigint, p_items bigint, p_form text, p_most bigint)
returns table (items bigint[], weights real[], rarity float8) language sql stable parallel safe as $$
    select items, weights, ln(1 + (greatest(p_items - count, 0) + 0.5::float8) / (count + 0.5::float8))
    from (
        select array_agg(entry.knowledge_item_id) as items, array_agg(entry.weight) as weights,
            case when count(*) < p_most then count(*) else 5000 end as count
        from (select knowledge_item_id, weight from knowledge_word
              where knowledge_base_id = p_knowledge_base_id and word = p_form limit p_most) entry
    ) first_postings where items is not null
$$;

-- Stems that are common in a language, wherever it is written: ten of a million words or more. Read from the package wordfreq by
-- scripts/migrate (shared/teaching/common_words.py); for a language without any, each word tells as much. And what was read, for each.
create table knowledge_common_word (
    language    text not null check (knowledge_language_is_known(language)),
    stem        text collate "C" not null,
    per_million real not null check (per_million >= 10),
    primary key (language, stem) include (per_million)
);
create table knowledge_common_word_list (
    language text primary key check (knowledge_language_is_known(language)),
    version  text not null
);

-- How much a word tells about what is asked for, given its stems: 1, unless it is common in one of the languages; 0.25 for one of a
-- thousand words. That a base lacks "please" is no sign that a question is about something else, and that it has it none of an answer.
create function knowledge_telling(p_languages text[], p_stems text[], p_otherwise float8) returns table (telling float8)
language sql stable parallel safe as $$
    select coalesce(min(1 - 0.375 * (least(log(per_million::float8), 3) - 1)), p_otherwise)
    from knowledge_common_word where language = any (p_languages) and stem = any (p_stems)
$$;

-- What a question asks for, whatever its length, of its words' rarities, each by how much it tells: that of the question alone
-- (`p_own`), unless it has no words of its own ("and then?"). At most that of five words which no item has and that tell as much as
-- the best: whoever greets and thanks at length still asks something. Null, if each word is in a third of the items or more.
create function knowledge_demand(p_rarest float8, p_own float8, p_with_before float8, p_most_telling float8, p_greatest_rarity float8)
returns float8 language sql immutable parallel safe as $$
    select case when p_rarest >= 1
        then sqrt(least(coalesce(p_own, p_with_before), 5 * p_greatest_rarity * p_most_telling) * p_greatest_rarity) end
$$;

-- The postings of what a base has instead of some words that it lacks, under forms that are not known already.
create function knowledge_corrected_postings(p_knowledge_base_id bigint, p_items bigint, p_languages text[],
    p_stemmers regdictionary[], p_telling float8, p_words text[], p_weights float8[], p_known_forms text[])
returns table (asked text, is_whole boolean, weight float8, telling float8, items bigint[], weights real[], rarity float8)
language plpgsql stable rows 10 as $$
begin
    return query
    with corrections as materialized (
        select correction.asked, correction.word, unknown.weight, stemmed.stems, known.telling
        from knowledge_corrections(p_knowledge_base_id, p_words) correction
            join unnest(p_words, p_weights) unknown (word, weight) on unknown.word = correction.asked,
            knowledge_stems(p_stemmers, correction.word) stemmed, knowledge_telling(p_languages, stemmed.stems, p_telling) known
    )
    select forms.asked, forms.is_whole, forms.weight, forms.telling, entries.*
    from (
        select spelling.form, max(corrections.weight) as weight, min(corrections.asked) as asked,
            bool_or(spelling.is_whole) as is_whole, min(corrections.telling) as telling
        from corrections, knowledge_forms(corrections.word, corrections.stems) spelling group by 1) forms,
        knowledge_first_postings(p_knowledge_base_id, p_items, forms.form, 5000) entries
    where forms.form <> all (p_known_forms);
end $$;

-- The items of one base that have words of a question, best first. `score` is BM25's. `relevance` compares it with what the
-- question asks for, both in words that tell something and as shares of the greatest rarity, which is that of a base's size: who asks
-- for rare words that no item has gets little. Null: it has only words that are common here.
-- The turn before counts 0.4. Where no item fits about twice as well as it must (knowledge_search_v8), a word that the base lacks stands
-- for those that are a slip away: to look for them takes its time, and who spelt what matters rightly has words enough that the
-- base lacks.
create function knowledge_candidates_v6(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer)
returns table (id bigint, score real, relevance real) language plpgsql stable rows 20 as $$
declare
    v_languages       text[];
    v_stemmers        regdictionary[];
    v_telling         float8;
    v_items           bigint;
    v_greatest_rarity float8;
begin
    select languages, array(select knowledge_stemmer(language) from unnest(languages) language),
        -- Of a word that is not common; of each, where nobody knows: then the floor is about as high.
        case when exists (select from knowledge_common_word_list list where list.language = any (languages)) then 1 else 0.6 end,
        -- Among a handful of items no word is rare yet, and in a large base rarity needs no exact number.
        greatest(50, (select count(*) from (
            select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id and entry.word = ''
            limit 10000) some_items))
    into v_languages, v_stemmers, v_telling, v_items
    from knowledge_base where knowledge_base.id = p_knowledge_base_id and languages <> '{}';
    if not found then
        return; -- it has, and had, no items
    end if;
    v_greatest_rarity := ln(2 * v_items::float8 + 2);
    return query
    with words as materialized (
        select stemmed_words.*, known.telling
        from (
            select asked_words.*, stemmed.stems
            from (
                select texts.word, max(texts.weight) as weight, bool_and(texts.is_compound) as is_compound from (
                    select word, 1.0::float8 as weight, false as is_compound from knowledge_asked_words(left(p_question, 8000)) word
                    union all select word, 0.4, false from knowledge_asked_words(left(p_before, 4000)) word
                    union all select word, 0.5, true from knowledge_asked_compounds(left(p_question, 8000)) word) texts
                group by texts.word) asked_words, knowledge_stems(v_stemmers, asked_words.word) stemmed
            where stemmed.stems is not null
            order by asked_words.is_compound, asked_words.weight desc limit 150) stemmed_words,
            knowledge_telling(v_languages, stemmed_words.stems, v_telling) known
    ), postings as materialized (
        select form, forms.weight, asked, is_whole, telling, entries.*
        from (
            -- All forms together: 200,000 postings, a tenth of a second. Others' questions wait in the same statement.
            select form, max(words.weight) as weight, min(words.word) as asked, bool_or(is_whole) as is_whole,
                max(words.telling) as telling, least(5000, 200000 / count(*) over ()) as most
            from words, knowledge_forms(words.word, words.stems) where is_whole or not words.is_compound group by form) forms,
            knowledge_first_postings(p_knowledge_base_id, v_items, forms.form, forms.most) entries
    ), rarities as materialized (
        select word, max(weight) as weight, coalesce(max(rarity), v_greatest_rarity) as rarity, max(telling) as telling from (
            select word, weight, telling, null::float8 as rarity from words where not is_compound -- its parts are asked for
            union all select asked, null, null, postings.rarity from postings where is_whole) found_or_not
        group by word having max(weight) is not null
    ), demand as materialized (
        select knowledge_demand(max(rarity), sum(rarity * telling) filter (where weight = 1), sum(weight * rarity * telling),
            max(telling), v_greatest_rarity) as most from rarities
    ), as_written as materialized (
        select entry.item, sum(postings.weight * rarity * entry.weight) as total,
            sum(postings.weight * rarity * telling * entry.weight) as telling
        from postings, unnest(postings.items, postings.weights) as entry (item, weight) group by entry.item
    ), best_as_written as materialized (
        select item, total::real as total_score, as_written.telling / (select most from demand) as relevance
        from as_written order by total_score desc, item limit p_limit
    ), unknown_words as (
        select word, weight from words
        where (select coalesce(max(best_as_written.relevance) < 1.9, true) from best_as_written)
            and not is_compound and length(word) between 5 and 24 and word !~ '[0-9%\\]' -- a number; LIKE's own
            and not coalesce(stems || ('=' || word) && (select array_agg(form) from postings where is_whole), false)
        order by weight desc, length(word) desc limit 4
    ), corrected_postings as materialized (
        -- By a function of its own: what a plan has takes its time to set up, and most questions need no more than the above.
        select corrected.* from (select array_agg(word) as words, array_agg(weight) as weights from unknown_words) unknown,
            knowledge_corrected_postings(p_knowledge_base_id, v_items, v_languages, v_stemmers, v_telling,
                unknown.words, unknown.weights, array(select form from postings)) corrected
        where unknown.words is not null
    ), corrected_demand as materialized (
        select knowledge_demand(max(rarity), sum(rarity * words.telling) filter (where weight = 1),
            sum(weight * rarity * words.telling), max(words.telling), v_greatest_rarity) as most
        from (
            select max(weight) as weight, coalesce(max(corrected_rarity), max(rarity)) as rarity,
                coalesce(min(corrected_telling), max(both_spellings.telling)) as telling
            from (
                select word, weight, rarity, telling, null::float8 as corrected_rarity, null::float8 as corrected_telling from rarities
                union all select asked, null, null, null, corrected_postings.rarity, corrected_postings.telling
                    from corrected_postings where is_whole) both_spellings
            group by word having max(weight) is not null) words
    )
    select item, total_score, best_as_written.relevance::real from best_as_written where not exists (select from corrected_postings)
    union all
    select item, total_score, (best_corrected.telling / (select most from corrected_demand))::real from (
        select item, sum(total)::real as total_score, sum(both_spellings.telling) as telling from (
            select item, total, as_written.telling from as_written
            union all -- a typo makes nobody's question irrelevant
            select entry.item, 0.6 * corrected.weight * rarity * entry.weight, corrected.weight * rarity * telling * entry.weight
            from corrected_postings corrected, unnest(corrected.items, corrected.weights) as entry (item, weight)) both_spellings
        where exists (select from corrected_postings)
        group by item order by total_score desc, item limit p_limit) best_corrected;
end $$;

-- What goes into the prompt: [{id, title, content, score, url}], best first; null if nothing fits. The best five, and behind them
-- what is of another section, as long as there are fewer than five: parts of one long text leave room for others. An item that
-- scores less than a fifth of the best only shares a common word with the question, and a question whose best item is not relevant
-- is about something else. Of each item only the first `p_characters` are returned; `url` only if answers may show it.
create function knowledge_search_v8(p_knowledge_base_id bigint, p_question text, p_before text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    if p_knowledge_base_id is null then
        return null;
    end if;
    return (
        with candidates as materialized (
            select * from knowledge_candidates_v6(p_knowledge_base_id, p_question, p_before, 10)
        ), best as (
            select max(score) as score from candidates having coalesce(max(relevance) >= 0.86, true)
        ), parts as (
            select item.*, candidates.score, row_number() over (order by candidates.score desc, item.id) as place,
                row_number() over (partition by coalesce(item.document_id, -item.id), item.title
                    order by candidates.score desc, item.id) as part
            from best, candidates join knowledge_item item on item.id = candidates.id
            where candidates.score >= 0.2 * best.score
        ), sections as (
            select parts.*, count(*) filter (where part = 1) over (order by place) as sections from parts
        )
        select jsonb_agg(jsonb_build_object(
            'id', id, 'title', left(title, 500), 'content', left(content, p_characters),
            'score', round(score::numeric, 2), 'url', case when show_link then url end) order by place)
        from sections where place <= 5 or part = 1 and sections <= 5);
end $$;

-- A text with the base's words in place of those that it lacks and that are a slip away, for what cannot read typos: a model's vectors.
-- Words of five letters or more, the eight longest; of several that are as near, the one of most items. Not one that is common in a
-- language of the base: it is spelt rightly.
create function knowledge_respelt_v1(p_knowledge_base_id bigint, p_text text) returns text language plpgsql stable strict as $$
declare
    v_languages text[];
    v_stemmers  regdictionary[];
    v_unknown   text[];
    v_spellings jsonb;
begin
    select languages, array(select knowledge_stemmer(language) from unnest(languages) language) into v_languages, v_stemmers
    from knowledge_base where id = p_knowledge_base_id and languages <> '{}';
    select array_agg(word) into v_unknown from (
        select long.word from (
            select word from knowledge_asked_words(left(p_text, 8000)) word
            where length(word) between 5 and 24 and word !~ '[0-9%\\]' order by length(word) desc, word limit 100) long,
            knowledge_stems(v_stemmers, long.word) stemmed
        where stemmed.stems is not null
            and not exists (select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id
                and entry.word = any (stemmed.stems || ('=' || long.word)))
            and not exists (select from knowledge_common_word common
                where common.language = any (v_languages) and common.stem = any (stemmed.stems))
        order by length(long.word) desc, long.word limit 8) unknown_words;
    if v_unknown is null then
        return p_text;
    end if;
    select jsonb_object_agg(asked, word) into v_spellings from (
        select distinct on (asked) asked, word from knowledge_corrections(p_knowledge_base_id, v_unknown) correction
        order by asked, (select count(*) from (select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id
            and entry.word = '=' || correction.word limit 1000) entries) desc, word) most_usual;
    if v_spellings is null then
        return p_text;
    end if;
    return (
        select string_agg(coalesce(v_spellings ->> knowledge_fold(piece[1]), piece[1]) || piece[2], '' order by place)
        from regexp_matches(p_text, '([[:alnum:]]+|^)([^[:alnum:]]*)', 'g') with ordinality pieces (piece, place));
end $$;

-- ---------------------------------------------------------------------------------------------------- chatbots

-- When a business is open (chatbot.opening_hours): for days of the week a list of [from, to], in order and within the day.
create function opening_hours_are_valid(p_hours jsonb) returns boolean language sql immutable parallel safe as $$
    select p_hours is null or jsonb_typeof(p_hours) = 'object' and p_hours <> '{}'
        and (p_hours - '{mon,tue,wed,thu,fri,sat,sun}'::text[]) = '{}'
        and not exists (select from jsonb_each(p_hours) day where not jsonb_path_match(value,
            '$.type() == "array" && $.size() >= 1 && $.size() <= 8'))
        and not exists (
            select from jsonb_each(p_hours) day, jsonb_array_elements(value) span
            where not coalesce(span ->> 0 ~ '^([01]\d|2[0-3]):[0-5]\d$' and span ->> 1 ~ '^(([01]\d|2[0-3]):[0-5]\d|24:00)$'
                and jsonb_array_length(span) = 2 and (span ->> 0) < (span ->> 1), false))
$$;

-- The first moment from `p_at` on at which it is open: `p_at` itself, if it is open then.
create function opens_at_v1(p_hours jsonb, p_time_zone text, p_at timestamptz) returns timestamptz language sql stable as $$
    select case when p_hours is null then p_at else (
        select min(greatest(p_at, (day + (span ->> 0)::time) at time zone p_time_zone))
        from (select (p_at at time zone p_time_zone)::date + n as day from generate_series(0, 7) n) week,
            jsonb_array_elements(p_hours -> lower(to_char(day, 'dy'))) span
        where (day + (span ->> 1)::time) at time zone p_time_zone > p_at) end
$$;

create table chatbot (
    id                 bigint generated always as identity primary key,
    customer_id        bigint not null references customer on delete cascade,
    name               text not null check (name <> ''),
    knowledge_base_id  bigint,
    system_prompt      text not null default 'You are a friendly and concise support assistant.'
        check (length(system_prompt) <= 20000), -- it is paid for with each reply
    fallback_message   text not null default
        'Sorry, I cannot answer right now. A colleague will get back to you.' check (fallback_message <> ''),
    model              text not null default 'gpt-4o-mini' check (model <> ''),
    temperature        real not null default 0.3 check (temperature between 0 and 2),
    max_tokens         integer not null default 500 check (max_tokens between 1 and 32000),
    -- The chatbot's own provider. Both null: OPENAI_BASE_URL and OPENAI_API_KEY of the environment.
    provider_base_url  text check (url_is_normalized(provider_base_url)),
    provider_api_key   text, -- encrypted (shared/db/credentials.py)
    -- Messages of one conversation that arrive within this many seconds get one reply. 0: each gets its own.
    debounce_seconds   real not null default 0 check (debounce_seconds between 0 and 300),
    -- Minutes without a message from either side after which the bot answers again where a person has taken over. 0: it never
    -- does by itself.
    return_after_minutes integer not null default 60 check (return_after_minutes between 0 and 43200), -- 30 days
    created_at         timestamptz not null default now(),
    -- How the widget refers to it in public: it grants nothing, and cannot be guessed from another chatbot's.
    public_key         text not null unique default ('pk_' || replace(gen_random_uuid()::text, '-', '')),
    -- Sites (https://shop.example) whose pages may show the widget and call its API, as browsers name them: in lower case,
    -- punycode, without a path. They become part of a header.
    allowed_origins    text[] not null default '{}' check (
        allowed_origins = '{}' or array_ndims(allowed_origins) = 1 and array_to_string(allowed_origins, ' ', '')
            ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?( https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)*$'),
    -- The reply to pictures, voice messages and anything else that is not text.
    unsupported_message text not null default
        'Sorry, I can only read text. Could you write it to me?' check (unsupported_message <> ''),
    -- What a customer is told once when the bot hands a conversation over to a person. Null: it never does.
    handover_message   text default 'I am passing this on to a colleague, who will get back to you.'
        check (handover_message <> ''),
    -- What a customer is told when the knowledge holds no answer, and whether the conversation is handed over then as well.
    no_answer_message  text not null default 'I am sorry, I do not know the answer to that.' check (no_answer_message <> ''),
    no_answer_hands_over boolean not null default false,
    -- Whether a reply shows the links of the knowledge that it is taken from.
    cite_sources       boolean not null default true,
    -- Whether customers see that their message was read, and that somebody types, while it works on the answer.
    shows_typing       boolean not null default true,
    -- Seconds for a call. Null: AI_TIMEOUT_SECONDS.
    provider_timeout   real check (provider_timeout between 1 and 300),
    -- Characters of knowledge, and of the conversation before the question, in a prompt. Null: PROMPT_KNOWLEDGE_CHARACTERS,
    -- PROMPT_HISTORY_CHARACTERS.
    knowledge_characters integer check (knowledge_characters between 0 and 200000),
    history_characters integer check (history_characters between 0 and 200000),
    -- The key of the environment never goes to a chatbot's own provider.
    constraint chatbot_own_provider check ((provider_base_url is null) = (provider_api_key is null)),
    -- Who writes down what voice notes say (shared/ai/transcription.py): an OpenAI-compatible API and its model. No model: nobody.
    -- Address and key null: OPENAI_BASE_URL and OPENAI_API_KEY of the environment.
    transcription_model text check (transcription_model <> ''),
    transcription_base_url text check (url_is_normalized(transcription_base_url)),
    transcription_api_key text, -- encrypted
    -- As ISO 639-1 has it, such as pt. Null: the model hears it.
    transcription_language text check (transcription_language ~ '^[a-z]{2,3}$'),
    -- Whether its models are shown the pictures that customers send (shared/ai/attachments.py).
    can_see            boolean not null default false,
    -- Whether a person takes over where a customer sent what cannot be read, seen or heard.
    unsupported_hands_over boolean not null default false,
    -- So many questions in a row without an answer in the knowledge hand over, where `no_answer_hands_over` says so.
    no_answer_hands_over_after smallint not null default 1 check (no_answer_hands_over_after between 1 and 10),
    -- Whether a person takes over where a customer got the fallback message.
    fallback_hands_over boolean not null default true,
    -- When people are there: {"mon": [["09:00", "12:00"], ["13:00", "17:30"]], ...}, by the clock of `time_zone`. Null: always.
    opening_hours      jsonb check (opening_hours_are_valid(opening_hours)),
    time_zone          text not null default 'UTC' check (timezone(time_zone, timestamptz '2000-01-01') is not null), -- it exists
    -- Outside of these hours: whether every conversation waits for a person, and what is said instead of `handover_message`.
    closed_hands_over  boolean not null default false,
    closed_message     text check (closed_message <> ''),
    constraint chatbot_own_transcription check ((transcription_base_url is null) = (transcription_api_key is null)),
    -- A chatbot never reads another tenant's knowledge.
    foreign key (customer_id, knowledge_base_id) references knowledge_base (customer_id, id),
    constraint chatbot_of_customer unique (customer_id, id)
);
create index chatbot_customer_idx on chatbot (customer_id);

-- What a model at an address does not take, learnt from its refusals (shared/ai/profiles.py): parameters by name, and what to send
-- instead.
create table provider_profile (
    base_url  text not null,
    model     text not null check (octet_length(base_url || model) <= 2000), -- both fit into an index
    lessons   jsonb not null,
    learnt_at timestamptz not null default now(),
    primary key (base_url, model)
);

-- The providers that are asked when a chatbot's first one fails, in this order (shared/ai/failover.py). The first is the chatbot's
-- own columns.
create table chatbot_provider (
    id          bigint generated always as identity primary key,
    chatbot_id  bigint not null references chatbot on delete cascade,
    position    smallint not null check (position between 2 and 5),
    -- Both null: OPENAI_BASE_URL and OPENAI_API_KEY of the environment, whose key never goes anywhere else.
    base_url    text check (url_is_normalized(base_url)),
    api_key     text, -- encrypted
    model       text not null check (model <> ''),
    -- Seconds for a call. Null: AI_TIMEOUT_SECONDS.
    timeout     real check (timeout between 1 and 300),
    -- Null: the chatbot's.
    temperature real check (temperature between 0 and 2),
    max_tokens  integer check (max_tokens between 1 and 32000),
    unique (chatbot_id, position),
    constraint chatbot_provider_own check ((base_url is null) = (api_key is null))
);

-- A business account of Meta's (WABA): its numbers have their message templates in common.
create table whatsapp_business (
    waba_id             text primary key check (waba_id <> ''),
    -- When the list of its templates was last read; null: it is wanted. When that was last begun, and why it failed the last time.
    templates_synced_at timestamptz,
    templates_tried_at  timestamptz,
    templates_error     text
);

create table whatsapp_cloud_account (
    id              bigint generated always as identity primary key,
    chatbot_id      bigint not null unique references chatbot on delete cascade,
    phone_number_id text not null unique check (phone_number_id ~ '^[0-9]+$'),
    access_token    text not null, -- encrypted
    active          boolean not null default true,
    -- Null until Meta's first webhook for it says, or who connects it.
    waba_id         text references whatsapp_business
);
create index whatsapp_cloud_account_waba_idx on whatsapp_cloud_account (waba_id);

-- Message templates as Meta has them (shared/channels/whatsapp_cloud/template_store.py): what may be sent outside the 24 hours.
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

create table whatsapp_qr_session (
    id           bigint generated always as identity primary key,
    chatbot_id   bigint not null unique references chatbot on delete cascade,
    session_name text not null unique check (session_name ~ '^[A-Za-z0-9_.-]+$'),
    dialect      text not null default 'waha' check (dialect in ('waha', 'evolution')),
    api_key      text, -- encrypted; null: WHATSAPP_QR_API_KEY of the environment
    active       boolean not null default true,
    webhook_secret text, -- encrypted; signs what its gateway sends us; null: WHATSAPP_QR_WEBHOOK_SECRET
    -- As its gateway last reported; sends to a disconnected session wait (shared/channels/whatsapp_qr/session.py).
    state        text not null default 'unknown' check (state in ('unknown', 'connected', 'disconnected')),
    state_detail text, -- the gateway's own term: WORKING, SCAN_QR_CODE, close
    state_at     timestamptz,
    -- Replies that were written until then are acknowledged, as far as its gateway acknowledges any (shared/channels/whatsapp_qr/acks.py).
    acked_at     timestamptz
);

create table telegram_bot (
    id             bigint generated always as identity primary key,
    chatbot_id     bigint not null unique references chatbot on delete cascade,
    bot_id         text not null unique check (bot_id ~ '^[0-9]+$'), -- the beginning of its token
    username       text not null,
    token          text not null, -- encrypted
    webhook_secret text not null, -- encrypted; Telegram shows it with each update
    -- Nobody can call us: its updates are asked for (scripts/local/telegram_relay.py).
    polling        boolean not null default false,
    active         boolean not null default true
);

-- The health of channels' accounts (shared/channels/health.py): a row for each that was ever in trouble, or too fast. No row: ok.
create table channel_health (
    chatbot_id bigint not null references chatbot on delete cascade,
    channel    text not null references channel,
    -- ok         it sends
    -- degraded   it sends, and somebody has to look at it
    -- needs_login, held, banned: it cannot send; its replies are held until it can
    state      text not null default 'ok' check (state in ('ok', 'degraded', 'needs_login', 'held', 'banned')),
    reason     text, -- a code of ours (shared/channels/outcomes.py)
    detail     text, -- the provider's words
    since      timestamptz not null,
    -- While it cannot send: calls that found it so, and when one reply may try again. Null: it is waited for somebody.
    calls      integer not null default 0 check (calls >= 0),
    probe_at   timestamptz,
    -- The provider takes no more from it until then.
    slow_until timestamptz,
    primary key (chatbot_id, channel),
    check ((state = 'ok') = (reason is null)),
    check (probe_at is null or state not in ('ok', 'degraded'))
);
create index channel_health_probe_idx on channel_health (probe_at) where probe_at is not null;

-- An API key of a business's server (web/api/keys.py). Only its SHA-256 is stored: 256 random bits need no slow hash.
create table api_key (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    name        text not null check (name <> ''),
    hash        text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz,
    -- It may invite people, make keys and connect channels (web/api/api.py); an owner wants it so. Those that it makes may not.
    manages     boolean not null default false,
    made_by     bigint references api_key on delete cascade -- the key that made it, with which it ends
);
create index api_key_customer_idx on api_key (customer_id);
create index api_key_made_by_idx on api_key (made_by) where made_by is not null;

-- Answers of the API to requests with an Idempotency-Key (web/api/idempotency.py), for a day.
create table kept_answer (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    key         text not null check (length(key) between 1 and 200),
    fingerprint text not null check (fingerprint ~ '^[0-9a-f]{64}$'), -- of what was asked
    path        text not null,
    -- Null: it is being worked on, or nobody knows what became of it.
    status      integer check (status between 200 and 299),
    answer      text, -- encrypted, for it may have a secret -- personal data
    created_at  timestamptz not null default now(),
    unique (customer_id, key),
    check ((status is null) = (answer is null))
);
create index kept_answer_created_idx on kept_answer (created_at); -- prune

-- Correctly signed items that could not be processed: an unknown number, a malformed message. Kept for a week.
create table inbound_reject (
    id          bigint generated always as identity primary key,
    source      text not null references channel,
    reason      text not null check (reason <> ''),
    subject     text, -- phone number id or session
    payload     text not null, -- not jsonb, which refuses some of what must be kept
    received_at timestamptz not null default now()
);
create index inbound_reject_received_idx on inbound_reject (received_at);

-- ---------------------------------------------------------------------------------------------------- contacts

-- The channels by which a person has the same names: whatsapp_cloud and whatsapp_qr are the family whatsapp.
create function contact_family_v1(p_channel text) returns text language sql immutable parallel safe as $$
    select split_part(p_channel, '_', 1)
$$;

-- A name as identities are compared: WhatsApp writes the phone number 4917012345 as 4917012345@c.us and
-- 4917012345:2@s.whatsapp.net as well. Its other names (77@lid, BR.150) are kept as they are, and so are those of other families.
create function contact_name_v1(p_channel text, p_name text) returns text language sql immutable parallel safe as $$
    select case when starts_with(p_channel, 'whatsapp_') then coalesce(nullif(regexp_replace(
        regexp_replace(p_name, ':\d+@', '@'), '^\+|@(c\.us|s\.whatsapp\.net)$', '', 'g'), ''), p_name) else p_name end
$$;

-- A person who writes to a chatbot. One person is one contact, and one conversation on each channel: names that turn out to be
-- of one person become one contact's (contact_learn_v1).
create table contact (
    id         bigint generated by default as identity primary key,
    chatbot_id bigint not null references chatbot on delete cascade,
    -- As the person calls themself where the channel tells it; for people to read, never in logs.
    name       text check (name <> ''),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index contact_page_idx on contact (chatbot_id, id desc);

-- The names by which channels know a person (contact_name_v1). Each is one contact's; `chatbot_id` is its contact's.
create table contact_identity (
    contact_id   bigint not null references contact on delete cascade deferrable initially deferred,
    chatbot_id   bigint not null,
    family       text not null check (family <> ''),
    name         text not null check (name <> ''),
    created_at   timestamptz not null default now(),
    -- When its person gave it up (a changed number). Some days later it is forgotten: it may be another person's one day.
    left_at      timestamptz,
    -- A @lid: how often the gateway was asked whose phone it is, and answered, and when it is asked again
    -- (shared/channels/whatsapp_qr/lids.py). Null after 0 answers: as soon as possible; null after more: not until the session is
    -- connected again.
    lookups      smallint not null default 0 check (lookups >= 0),
    lookup_at    timestamptz,
    primary key (chatbot_id, family, name),
    constraint contact_identity_lookup_check check (lookup_at is null or name like '%@lid')
);
create index contact_identity_contact_idx on contact_identity (contact_id);
create index contact_identity_left_idx on contact_identity (left_at) where left_at is not null;
create index contact_identity_lookup_idx on contact_identity (chatbot_id, coalesce(lookup_at, '-infinity'))
    where name like '%@lid' and (lookups = 0 or lookup_at is not null);

-- What is left of an erased person for some days (shared/privacy/marks.py): a keyed hash of each of their names and of their messages'
-- ids, by which a provider's second delivery is recognised. The key is not in the database, so nobody finds a person by it.
create table tombstone (
    mark       text primary key check (mark ~ '^[0-9a-f]{64}$'),
    -- A message's own id. Null: the mark is a name's.
    message_id bigint,
    erased_at  timestamptz not null
);
create index tombstone_erased_idx on tombstone (erased_at); -- prune

-- ----------------------------------------------------------------------------------------------- conversations

create table conversation (
    id               bigint generated always as identity primary key,
    chatbot_id       bigint not null references chatbot on delete cascade,
    channel          text not null references channel,
    external_user_id text not null check (external_user_id <> ''),
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    -- The number of the newest change that the widget's page may see (widget_changed). It begins with the time, in microseconds: a
    -- page that is open while its conversation is erased hears of the next one, whose numbers are above all that it has seen.
    revision         bigint not null default (extract(epoch from clock_timestamp()) * 1000000)::bigint,
    -- Until when the bot is silent here, because it seems to talk to another bot; how often that has happened within a day
    -- (shared/ai/brakes.py).
    braked_until     timestamptz,
    brakes           smallint not null default 0,
    -- When it was handed over to a person, and why (shared/channels/handoffs.py). Null again once one has come, or the bot has it again.
    handed_over_at   timestamptz,
    handover_reason  text,
    -- WhatsApp Cloud: until when we may send what we like; after that, approved templates only. 24 hours after the customer last
    -- wrote or called, never moved back by a message that comes late. Null: not known, or a channel without such a rule.
    window_ends_at   timestamptz,
    -- Who may answer (shared/channels/ownership.py): the bot; or a person, and the bot is silent; or it is closed, until the
    -- customer writes again.
    owner            text not null default 'bot' check (owner in ('bot', 'person', 'closed')),
    -- Since when; null: since the beginning. The bot's replies from before that time never leave (send_claim_v3).
    owner_since      timestamptz,
    -- A person's: when it goes back to the bot, and the minutes without a message that it waits for that. Null: never by itself.
    returns_at       timestamptz,
    return_after_minutes integer check (return_after_minutes between 1 and 43200),
    -- Whose it is; `external_user_id` is the name under which it began, or has moved to. Null until the next sweep: it is older
    -- than contacts, or a worker of the last release began it under another name of somebody who has one.
    contact_id       bigint default nextval('contact_id_seq') references contact deferrable initially deferred,
    -- The model reads nothing up to this message: what was said there made the bot hand over, and would make it do so again.
    context_after    bigint,
    -- When somebody last wrote, to five minutes: its index is not rewritten by each message.
    active_at        timestamptz not null default now(),
    -- Which of the business's people has it, at the desk. Null: nobody, or somebody on the phone or through the API.
    assigned_to      bigint, -- references app_user
    -- The `handed_over_at` of the last handoff of which the business's people were told by e-mail (shared/people/notices.py).
    handoff_told_at  timestamptz,
    -- A test chat of the desk (web/desk/test_chat.py), not a customer's: lists, notices and open questions leave it out.
    is_test          boolean not null generated always as (channel = 'widget' and starts_with(external_user_id, 'w_test-')) stored,
    check ((handed_over_at is null) = (handover_reason is null)),
    constraint conversation_handover_reason check (handover_reason in (
        'asked', 'misses', 'loop', 'unsupported', 'provider_down', 'out_of_hours', 'budget', 'rule')),
    check (returns_at is null or owner = 'person'),
    constraint conversation_assigned check (assigned_to is null or owner = 'person'),
    unique (chatbot_id, channel, external_user_id),
    unique (id, chatbot_id, channel)
) with (fillfactor = 80);
create index conversation_list_waiting_idx on conversation (chatbot_id, handed_over_at) where handed_over_at is not null and not is_test;
create index conversation_list_idx on conversation (chatbot_id, owner, active_at desc, id desc) where not is_test;
create index conversation_assigned_idx on conversation (assigned_to) where assigned_to is not null;
create unique index conversation_contact_idx on conversation (contact_id, channel);
create index conversation_unsettled_idx on conversation (id) where contact_id is null;

-- What became of conversations that turned out to be another's: businesses may have kept their ids.
create table merged_conversation (
    id              bigint primary key,
    conversation_id bigint not null references conversation on delete cascade
);
create index merged_conversation_idx on merged_conversation (conversation_id);

-- A new conversation has a contact: the one that has its name, or a new one. If that contact has a conversation on this channel,
-- the name has become another's since the statement looked (contact_learn_v1): a statement that resolves names looks again, and
-- what workers of the last release begin waits for contact_learn_v1.
create function conversation_contact() returns trigger language plpgsql as $$
declare
    v_family     text := contact_family_v1(new.channel);
    v_name       text := contact_name_v1(new.channel, new.external_user_id);
    v_contact_id bigint;
begin
    insert into contact_identity (chatbot_id, family, name, contact_id) values (new.chatbot_id, v_family, v_name, new.contact_id)
    on conflict do nothing;
    if found then
        insert into contact (id, chatbot_id, name) values (new.contact_id, new.chatbot_id, (
            -- By conversation first: a plan made on an empty table might read all messages of users.
            select left(metadata ->> 'profile_name', 200) from (
                select id, role, metadata from message where conversation_id = new.id offset 0) said
            where role = 'user' and metadata ->> 'profile_name' <> '' order by id desc limit 1));
        return null;
    end if;
    select contact_id into v_contact_id from contact_identity
    where chatbot_id = new.chatbot_id and family = v_family and name = v_name;
    if exists (select from conversation where contact_id = v_contact_id and channel = new.channel) then
        if current_setting('switchboard.resolves_names', true) = 'on' then
            raise exception 'conversation % was merged meanwhile', new.id using errcode = '40001';
        end if;
        v_contact_id := null;
    end if;
    update conversation set contact_id = v_contact_id where id = new.id;
    return null;
end $$;
create trigger conversation_contact after insert on conversation
    for each row when (new.contact_id is not null) execute function conversation_contact();

-- PENDING -> SENT -> DELIVERED -> READ, or FAILED, or SUPERSEDED: a person took the conversation over before the bot's reply left.
-- A status only moves to a higher rank: a late `sent` never undoes READ, and FAILED never overwrites DELIVERED, but one of several
-- phones may still report a delivery after another failed.
create function status_rank_v2(status text) returns integer language sql immutable parallel safe as $$
    select case status when 'PENDING' then 0 when 'SENT' then 1 when 'FAILED' then 2 when 'SUPERSEDED' then 2
                       when 'DELIVERED' then 3 when 'READ' then 4 end
$$;

-- When somebody last wrote in a conversation (active_at), if somebody writes now.
create function active_at_v1(p_active_at timestamptz) returns timestamptz language sql stable parallel safe as $$
    select case when p_active_at > now() - interval '5 minutes' then p_active_at else now() end
$$;

create table message (
    -- `by default`, not `always`: an inbound message gets its id when it is accepted, before this row is written.
    id              bigint generated by default as identity primary key,
    conversation_id bigint not null,
    -- Copied from the conversation for the unique index that recognises the same inbound message.
    chatbot_id      bigint not null,
    channel         text not null,
    -- user: the customer. assistant: the bot, and what a person writes through the API. agent: what a person of the business wrote
    -- elsewhere, on the phone for example.
    role            text not null check (role in ('user', 'assistant', 'agent')),
    content         text not null check (content <> ''),
    -- A user's message has reached us, so it is DELIVERED; an agent's has left. The other values describe our replies.
    status          text not null check (status in ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED', 'SUPERSEDED')),
    -- The provider's id: an inbound message came with it, a reply got it in the answer to its send (wamid, gateway id).
    external_id     text check (external_id <> ''),
    reply_to        bigint references message on delete cascade,
    attempts        integer not null default 0 check (attempts >= 0),
    error           text,
    metadata        jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    -- The conversation's revision when this message last changed; widget only.
    revision        bigint,
    -- Of messages sent through the API (web/api/messages.py): the same key in the same conversation is the same message.
    idempotency_key text,
    foreign key (conversation_id, chatbot_id, channel) references conversation (id, chatbot_id, channel)
        on delete cascade,
    -- What it is (shared/channels/kinds.py), when its provider says it was written, and what a kind that is no text is made of.
    kind            text not null default 'text' check (kind ~ '^[a-z_]+$'),
    sent_at         timestamptz,
    data            jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    -- The name under which its author wrote, or to which it is sent, where that is not the conversation's `external_user_id`.
    address         text check (address <> ''),
    -- A customer's: when they last changed it, by the provider's time; when they deleted it, so that no model reads it any more.
    edited_at       timestamptz,
    revoked_at      timestamptz,
    -- The ids of the parts of a long reply but the last, which has the reply's own; customers react to them and quote them. Not in
    -- `metadata`: with an index of that each status of a reply would rewrite all indexes (no HOT update).
    part_ids        text[],
    check (case role when 'user' then reply_to is null and status = 'DELIVERED' when 'agent' then reply_to is null else true end),
    check (status <> 'FAILED' or error is not null)
) with (fillfactor = 80);
create index conversation_page_idx on conversation (chatbot_id, id desc);
create index conversation_returns_idx on conversation (returns_at) where returns_at is not null;
create unique index message_idempotency_idx on message (conversation_id, idempotency_key) where idempotency_key is not null;
create index message_conversation_idx on message (conversation_id, id desc);
create unique index message_one_reply_idx on message (reply_to) where reply_to is not null;
-- The bot's replies of a conversation, by time: how many there were lately (workers/ai.sql).
create index message_reply_idx on message (conversation_id, created_at) where reply_to is not null;
create unique index message_inbound_idx on message (chatbot_id, channel, external_id) where role = 'user';
create unique index message_agent_idx on message (chatbot_id, channel, external_id) where role = 'agent';
create index message_provider_idx on message (external_id) where role = 'assistant' and external_id is not null;
-- Who quotes a message, so that a deletion is one of its quotes as well.
create index message_quoted_idx on message (chatbot_id, channel, (data #>> '{quoted,id}')) where data ? 'quoted';
-- No fastupdate: each look would first read the whole list of what is not in the index's order yet.
create index message_parts_idx on message using gin (part_ids) with (fastupdate = off) where part_ids is not null;

-- The choice of a reply (data.choices) that a text names: by its title, or by its number, as in "2", "2.", "(2)" or "٢". Null: none.
create function choice_named_v2(p_choices jsonb, p_text text) returns jsonb language sql immutable parallel safe as $$
    select choice from jsonb_array_elements(p_choices) with ordinality as choices(choice, number),
        (select lower(btrim(regexp_replace(p_text, '\s+', ' ', 'g'), ' .!')) as words) said,
        lateral (select translate(words, '٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙', '0123456789012345678901234567890123456789') as as_number) typed
    where lower(choice ->> 'title') in (words, words || '.', words || '!')
        -- Not `\d`: by some collations that is any script's digit, which is no integer to PostgreSQL.
        or (regexp_match(as_number, '^[(#]?0?([0-9]{1,2})[).:]*$'))[1]::integer = number
    order by lower(choice ->> 'title') = words desc, number limit 1
$$;

-- A reply's choices as lines, as a model reads them and as channels without buttons show them (shared/channels/choices.py).
create function choice_lines_v1(p_choices jsonb) returns text language sql immutable parallel safe as $$
    select string_agg(E'\n' || number || '. ' || (choice ->> 'title'), '' order by number)
    from jsonb_array_elements(p_choices) with ordinality as choices(choice, number)
$$;

-- A short text that names a choice of the reply before it is that choice; what was typed is kept beside it.
create function message_choice() returns trigger language plpgsql as $$
declare
    v_choice jsonb;
begin
    select choice_named_v2(data -> 'choices', new.content) into v_choice
    from (select role, status, data from (
            select id, role, status, data from message where conversation_id = new.conversation_id order by id desc limit 20) newest
          where role <> 'user' and status not in ('FAILED', 'SUPERSEDED') order by id desc limit 1) reply
    where data ? 'choices';
    if v_choice is not null then
        new.kind := 'choice';
        new.data := new.data || jsonb_build_object('choice', v_choice || jsonb_build_object('typed', new.content));
        new.content := v_choice ->> 'title';
    end if;
    return new;
end $$;
-- WhatsApp Cloud has buttons, and says what was tapped; there only numbers are looked at.
create trigger message_choice before insert on message for each row
    when (new.role = 'user' and new.kind = 'text' and length(new.content) <= 64
          and (new.channel <> 'whatsapp_cloud' or new.content ~ '^\s*[(#]?[0-9٠-٩۰-۹०-९๐-๙]'))
    execute function message_choice();

-- The conversation's row stays locked until the commit, so revisions become visible in order: a page that has seen 7 never
-- misses a 6 that was committed later. The notification contains a hash of the visitor and nothing else.
create function widget_changed() returns trigger language plpgsql as $$
declare
    v_conversation conversation;
begin
    update conversation set revision = revision + 1 where id = new.conversation_id returning * into v_conversation;
    new.revision := v_conversation.revision;
    perform pg_notify('widget', md5(v_conversation.chatbot_id || ':' || v_conversation.external_user_id));
    return new;
end $$;

-- PENDING replies are not announced.
create trigger message_widget_new before insert on message
    for each row when (new.channel = 'widget' and new.status <> 'PENDING') execute function widget_changed();
create trigger message_widget_status before update of status on message
    for each row when (new.channel = 'widget' and new.status <> old.status) execute function widget_changed();

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
create index media_kept_idx on media (customer_id, created_at) where state = 'stored'; -- retention
create index media_file_idx on media (customer_id, sha256) where state = 'stored';

-- The files of the storage, each once for a customer however many messages have it: written before the bytes are, so that no file is
-- unknown. One that no row of `media` names any longer, nor a message that waits to be saved, is deleted after a day, and this row
-- with it. Not deleted with its customer, for its bytes would stay.
create table media_file (
    customer_id bigint not null,
    sha256      text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size        bigint not null check (size > 0),
    -- When a message last had it.
    wanted_at   timestamptz not null default now(),
    -- Since when its bytes are being deleted: whoever wants to store the same ones waits for that.
    deleting_at timestamptz,
    primary key (customer_id, sha256)
);
create index media_file_wanted_idx on media_file (wanted_at);

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
create index knowledge_gap_base_idx on knowledge_gap (knowledge_base_id); -- for a base that is deleted
create index knowledge_gap_chatbot_idx on knowledge_gap (chatbot_id);
create index knowledge_gap_item_idx on knowledge_gap (knowledge_item_id);
create index knowledge_gap_created_idx on knowledge_gap (created_at);

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

-- Statuses that came before the provider's id of their message was stored. Applied when it is, dropped after an hour
-- (shared/channels/delivery_status.py).
create table parked_status (
    id          bigint generated always as identity primary key,
    provider_id text not null check (provider_id <> ''),
    status      text not null check (status in ('SENT', 'DELIVERED', 'READ', 'FAILED')),
    error       text,
    received_at timestamptz not null default now(),
    -- The chatbot whose number or session reported it: it must not move another tenant's messages. Null: not known.
    chatbot_id  bigint references chatbot on delete cascade,
    -- Of a failure: why, in a code of ours (shared/channels/outcomes.py).
    error_code  text
);
create index parked_status_chatbot_idx on parked_status (chatbot_id);
create index parked_status_provider_idx on parked_status (provider_id);
create index parked_status_received_idx on parked_status (received_at);

-- What was done to a message that has not come yet: it is applied when the message is accepted, and forgotten after some days
-- (shared/channels/changes.py).
create table parked_change (
    chatbot_id  bigint not null references chatbot on delete cascade,
    channel     text not null references channel,
    external_id text not null check (external_id <> ''),
    -- Of who did it: all that the channel told. None: it told only which message.
    names       text[] not null,
    -- What the message says from then on. Null: it was deleted.
    content     text,
    data        jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    changed_at  timestamptz not null,
    received_at timestamptz not null default now(),
    -- A caption's new words that came without their picture: the message that they are by themselves, if that does not come.
    payload     jsonb check (jsonb_typeof(payload) = 'object'),
    -- A person of the business did it, on the phone, to what the business said there.
    by_colleague boolean not null default false,
    primary key (chatbot_id, channel, external_id)
);
create index parked_change_received_idx on parked_change (received_at);
create index parked_change_payload_idx on parked_change (received_at) where payload is not null;

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

-- ------------------------------------------------------------------------------------------------------- usage

create table usage_log (
    id                bigint generated always as identity primary key,
    customer_id       bigint not null references customer on delete cascade,
    -- 'message', 'ai', or the channel that sent it.
    kind              text not null check (kind ~ '^[a-z][a-z_]*$'),
    -- Null: it was about no message, or that is deleted; what it cost stays, and says nothing of whose it was.
    message_id        bigint references message on delete set null,
    quantity          integer not null default 1 check (quantity > 0),
    prompt_tokens     integer not null default 0 check (prompt_tokens >= 0),
    completion_tokens integer not null default 0 check (completion_tokens >= 0),
    model             text,
    created_at        timestamptz not null default now(),
    -- Whose chatbot's models were asked, what that costs where they have a price (model_price), and the tokens that count for budgets:
    -- not those of free models. Null: nobody was asked, or it is older than budgets.
    chatbot_id        bigint,
    cost              numeric check (cost >= 0),
    counted_tokens    bigint check (counted_tokens >= 0),
    -- Nothing is charged twice.
    unique (message_id, kind)
);
create index usage_log_customer_idx on usage_log (customer_id, created_at);

-- What a customer used on days (UTC) that are over: usage_log has three rows for a message and its reply, too many for a page that
-- shows months. Filled by workers/maintenance.py, changed by usage_changed.
create table usage_day (
    customer_id       bigint not null references customer on delete cascade,
    day               date not null,
    kind              text not null,
    chatbot_id        bigint not null, -- 0: usage_log has none
    model             text not null, -- empty: usage_log has none
    entries           bigint not null,
    quantity          bigint not null,
    prompt_tokens     bigint not null,
    completion_tokens bigint not null,
    cost              numeric not null,
    priced            bigint not null, -- entries that have a price: where none has, nothing is known of the cost
    primary key (customer_id, day, kind, chatbot_id, model)
);

-- How far each customer's days are counted: up to the day before this one.
create table usage_counted (
    customer_id bigint primary key references customer on delete cascade,
    until       date not null
);

-- Counts a customer's next days, at most `p_days`, of those that ended two hours ago or more: whoever wrote then has committed. Returns
-- how many days were counted.
create function usage_count_days_v1(p_customer_id bigint, p_days integer) returns integer language plpgsql as $$
declare
    v_from  date;
    v_until date := (now() at time zone 'utc' - interval '2 hours')::date;
begin
    perform pg_advisory_xact_lock(hashtextextended('usage_day', p_customer_id));
    select until into v_from from usage_counted where customer_id = p_customer_id;
    v_from := coalesce(v_from, (select (min(created_at) at time zone 'utc')::date from usage_log where customer_id = p_customer_id), v_until);
    v_until := least(v_until, v_from + p_days);
    insert into usage_day (customer_id, day, kind, chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost, priced)
    select p_customer_id, (created_at at time zone 'utc')::date, kind, coalesce(chatbot_id, 0), coalesce(model, ''), count(*),
        sum(quantity), sum(prompt_tokens), sum(completion_tokens), coalesce(sum(cost), 0), count(cost)
    from usage_log
    where customer_id = p_customer_id and created_at >= v_from::timestamp at time zone 'utc'
        and created_at < v_until::timestamp at time zone 'utc'
    group by 2, 3, 4, 5;
    insert into usage_counted (customer_id, until) values (p_customer_id, v_until)
    on conflict (customer_id) do update set until = greatest(usage_counted.until, excluded.until);
    return greatest(v_until - v_from, 0);
end $$;

-- A call that is booked to an earlier message changes its row, of a day that may be counted. Whoever changes a row of less than an hour
-- has committed before its day is counted.
create function usage_changed() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('usage_day', old.customer_id));
    insert into usage_day as counted (customer_id, day, kind, chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost,
        priced)
    select old.customer_id, (old.created_at at time zone 'utc')::date, old.kind, changed.chatbot_id, changed.model, sum(entries),
        sum(changed.quantity), sum(changed.prompt_tokens), sum(changed.completion_tokens), coalesce(sum(changed.cost), 0),
        sum(case when changed.cost is not null then entries else 0 end)
    from (values
        (coalesce(old.chatbot_id, 0), coalesce(old.model, ''), -1, -old.quantity, -old.prompt_tokens, -old.completion_tokens, -old.cost),
        (coalesce(new.chatbot_id, 0), coalesce(new.model, ''), 1, new.quantity, new.prompt_tokens, new.completion_tokens, new.cost)
    ) as changed (chatbot_id, model, entries, quantity, prompt_tokens, completion_tokens, cost)
    where exists (select from usage_counted
        where customer_id = old.customer_id and until > (old.created_at at time zone 'utc')::date)
    group by changed.chatbot_id, changed.model
    on conflict (customer_id, day, kind, chatbot_id, model) do update set entries = counted.entries + excluded.entries,
        quantity = counted.quantity + excluded.quantity, prompt_tokens = counted.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = counted.completion_tokens + excluded.completion_tokens,
        cost = counted.cost + excluded.cost, priced = counted.priced + excluded.priced;
    return null;
end $$;
create trigger usage_changed after update of quantity, prompt_tokens, completion_tokens, model, cost on usage_log
    for each row when (old.created_at < now() - interval '1 hour') execute function usage_changed();

-- ----------------------------------------------------------------------------------------------------- budgets
--
-- What may be spent on models in a month. Who pays for a call reserves the most that it can cost, under the lock of the budget's row,
-- and settles what it did cost in the statement that ends its job (shared/budgets/meter.py). Models' prices and what was spent are
-- numeric, in the currency of the operator's prices: a token costs far less than a cent.

-- What a million tokens cost, and a minute of speech. All 0: the model is free, no budget blocks it or counts its tokens. No row:
-- nobody said; its tokens count, and no money.
create table model_price (
    base_url   text not null check (url_is_normalized(base_url) and right(base_url, 1) <> '/'),
    model      text not null check (model <> ''),
    prompt     numeric not null check (prompt between 0 and 1000000),
    completion numeric not null check (completion between 0 and 1000000),
    minute     numeric not null default 0 check (minute between 0 and 1000000),
    is_free    boolean not null generated always as (prompt = 0 and completion = 0 and minute = 0) stored,
    primary key (base_url, model),
    check (octet_length(base_url || model) <= 2000) -- both fit into an index
);

create table budget (
    id            bigint generated always as identity primary key,
    customer_id   bigint not null references customer on delete cascade,
    -- Null: what all of the customer's chatbots spend together.
    chatbot_id    bigint,
    -- The limits of a month, either or both.
    tokens        bigint check (tokens between 0 and 1000000000000),
    money         numeric check (money between 0 and 1000000000),
    -- By whose clock a month begins. The check knows the zones that PostgreSQL knows.
    time_zone     text not null default 'UTC' check ((timestamptz '2000-01-01 00:00:00+00' at time zone time_zone) is not null),
    -- What a customer gets when it is used up: a person, a text, or the answer of a cheaper model at the chatbot's first provider.
    at_limit      text not null default 'hand_over' check (at_limit in ('hand_over', 'text', 'cheaper_model')),
    text          text check (text <> ''),
    model         text check (model <> ''),
    -- Set by the operator: the customer's API keys cannot change it.
    by_operator   boolean not null default false,
    -- What was spent in this month, and when its events were sent. Another month begins with the first call in it.
    month         date not null check (extract(day from month) = 1),
    spent_tokens  bigint not null default 0 check (spent_tokens >= 0),
    spent_money   numeric not null default 0 check (spent_money >= 0),
    warned_at     timestamptz,
    exhausted_at  timestamptz,
    updated_at    timestamptz not null default now(),
    -- The later one of these two of which the owners were told by e-mail (shared/people/notices.py).
    told_at       timestamptz,
    check (tokens is not null or money is not null),
    check ((at_limit = 'text') = (text is not null)),
    check ((at_limit = 'cheaper_model') = (model is not null)),
    foreign key (customer_id, chatbot_id) references chatbot (customer_id, id) on delete cascade,
    -- When what its month has cost is counted once more: what was being saved when it was set knew nothing of it. Null: not any more.
    recount_at    timestamptz
);
create unique index budget_scope_idx on budget (customer_id, coalesce(chatbot_id, 0));
create index budget_chatbot_idx on budget (chatbot_id) where chatbot_id is not null;

-- The most that a call can cost which has begun, and whose outcome is not known yet. It goes when the call is settled; one that no
-- claim will settle any more counts as spent (budget_sweep_v1).
create table budget_reservation (
    id                uuid primary key, -- the caller's: asked for twice, it is reserved once
    customer_id       bigint not null references customer on delete cascade,
    -- No foreign keys: it outlives what it names.
    chatbot_id        bigint,
    message_id        bigint,
    -- Which claim of which job settles it. Null: a program that has no job.
    job_id            bigint,
    claim             integer,
    base_url          text not null,
    model             text not null,
    prompt_tokens     integer not null check (prompt_tokens >= 0),
    completion_tokens integer not null check (completion_tokens >= 0),
    seconds           integer not null check (seconds >= 0), -- of speech
    money             numeric not null check (money >= 0),
    created_at        timestamptz not null default now(),
    check ((job_id is null) = (claim is null))
);
create index budget_reservation_customer_idx on budget_reservation (customer_id);

create function call_cost(price model_price, prompt_tokens bigint, completion_tokens bigint, seconds bigint) returns numeric
language sql immutable parallel safe as $$
    select (prompt_tokens * price.prompt + completion_tokens * price.completion) * 0.000001 + round(seconds * price.minute / 60, 9)
$$;

-- What calls cost, by kind, as usage_log has it. Each of `p_calls`: {kind, base_url, model (which was asked for), answered_by, prompt_tokens,
-- completion_tokens, seconds, reservation}; one that cost nothing has no kind. `cost` null: none of them has a price.
create function usage_of_v1(p_calls jsonb)
returns table (kind text, calls integer, prompt_tokens integer, completion_tokens integer, model text, cost numeric, counted_tokens bigint)
language sql stable as $$
    select call.kind, count(*)::integer, least(sum(call.prompt_tokens), 2147483647)::integer,
        least(sum(call.completion_tokens), 2147483647)::integer, (array_agg(call.answered_by order by place desc))[1],
        sum(call_cost(price, call.prompt_tokens, call.completion_tokens, call.seconds)),
        sum(case when price.is_free then 0 else call.prompt_tokens + call.completion_tokens end)::bigint
    from jsonb_array_elements(p_calls) with ordinality as e(item, place), jsonb_to_record(item) as call(kind text, base_url text,
            model text, answered_by text, prompt_tokens bigint, completion_tokens bigint, seconds bigint)
        left join model_price price using (base_url, model)
    where call.kind is not null
    group by call.kind
$$;

create function budget_month(p_time_zone text) returns date language sql stable as $$
    select date_trunc('month', now() at time zone p_time_zone)::date
$$;

-- Locks the budgets of these customers, always in the same order, and begins the month of those whose last one is over.
create function budget_lock(p_customer_ids bigint[]) returns void language plpgsql as $$
begin
    perform from budget where customer_id = any (p_customer_ids) order by id for update;
    update budget set month = budget_month(time_zone), spent_tokens = 0, spent_money = 0, warned_at = null, exhausted_at = null
    where customer_id = any (p_customer_ids) and month < budget_month(time_zone);
end $$;

-- The share of its limits that is spent: 1 is all of it, or of the one of which more is.
create function budget_share(b budget) returns numeric language sql immutable as $$
    select greatest(case when b.tokens = 0 then 1 else b.spent_tokens::numeric / b.tokens end,
                    case when b.money = 0 then 1 else b.spent_money / b.money end)
$$;

-- Counts anew what the budget's month has cost so far: of one that is new, or was changed.
create function budget_recount_v1(p_id bigint) returns void language plpgsql as $$
begin
    perform budget_lock(array(select customer_id from budget where id = p_id)); -- who settles now is seen, or adds to it
    update budget set month = budget_month(counted.time_zone), spent_tokens = spent.tokens, spent_money = spent.money
    from budget counted, lateral (
        select coalesce(sum(coalesce(counted_tokens, usage.prompt_tokens::bigint + usage.completion_tokens)), 0) as tokens,
            coalesce(sum(cost), 0) as money
        from usage_log usage left join message on message.id = usage.message_id and usage.chatbot_id is null
        where usage.customer_id = counted.customer_id
          and usage.created_at >= budget_month(counted.time_zone)::timestamp at time zone counted.time_zone
          and (counted.chatbot_id is null or coalesce(usage.chatbot_id, message.chatbot_id) = counted.chatbot_id)) spent
    where counted.id = p_id and budget.id = counted.id;
    update budget set warned_at = case when budget_share(budget) >= 0.8 then warned_at end,
        exhausted_at = case when budget_share(budget) >= 1 then exhausted_at end
    where id = p_id;
end $$;

-- Reserves the most that each call can cost, in each budget that pays for it; refused where nothing is left of one. Each of `p_input`:
-- {n, id, customer_id, chatbot_id, message_id, job_id, claim, base_url, model, prompt_tokens, completion_tokens, seconds, beyond}.
-- A call is let through while anything is left, so a month ends at most one reservation above its limit. `beyond`: the budget whose
-- cheaper model is asked; that may spend as much again. `refused`: {budget, at_limit, text, model, is_spent (or only reserved)}.
create function budget_reserve_v1(p_input jsonb) returns table (n integer, is_reserved boolean, refused jsonb)
language plpgsql rows 1 as $$
#variable_conflict use_column
declare
    v_call    record;
    v_refused jsonb;
begin
    perform budget_lock(array(select (item ->> 'customer_id')::bigint from jsonb_array_elements(p_input) item));
    for v_call in
        select i.*, price.is_free, coalesce(call_cost(price, i.prompt_tokens, i.completion_tokens, i.seconds), 0) as cost
        from jsonb_to_recordset(p_input) as i(n integer, id uuid, customer_id bigint, chatbot_id bigint, message_id bigint, job_id bigint,
                claim integer, base_url text, model text, prompt_tokens integer, completion_tokens integer, seconds integer, beyond bigint)
            left join model_price price using (base_url, model) order by i.n
    loop
        select jsonb_build_object('budget', budget.id, 'at_limit', budget.at_limit, 'text', budget.text, 'model', budget.model,
            'is_spent', coalesce(spent_tokens >= limits.tokens, false)
                or v_call.cost > 0 and coalesce(spent_money >= limits.money, false)) into v_refused
        from budget, lateral (
            select coalesce(sum(r.prompt_tokens::bigint + r.completion_tokens), 0) as tokens, coalesce(sum(r.money), 0) as money
            from budget_reservation r
            where r.customer_id = budget.customer_id and (budget.chatbot_id is null or r.chatbot_id = budget.chatbot_id)
                and r.id <> v_call.id) reserved, lateral (
            select budget.tokens * times as tokens, budget.money * times as money
            from (select case when budget.id = v_call.beyond then 2 else 1 end as times) twice) limits
        where budget.customer_id = v_call.customer_id and (budget.chatbot_id is null or budget.chatbot_id = v_call.chatbot_id)
            and (spent_tokens + reserved.tokens >= limits.tokens
                or v_call.cost > 0 and spent_money + reserved.money >= limits.money)
        order by budget.chatbot_id nulls last limit 1;
        n := v_call.n;
        refused := case when v_call.is_free then null else v_refused end;
        is_reserved := refused is null and not coalesce(v_call.is_free, false);
        if is_reserved then
            insert into budget_reservation (id, customer_id, chatbot_id, message_id, job_id, claim, base_url, model, prompt_tokens,
                completion_tokens, seconds, money)
            values (v_call.id, v_call.customer_id, v_call.chatbot_id, v_call.message_id, v_call.job_id, v_call.claim, v_call.base_url,
                v_call.model, v_call.prompt_tokens, v_call.completion_tokens, v_call.seconds, v_call.cost)
            on conflict (id) do nothing;
        end if;
        return next;
    end loop;
end $$;

-- Ends the reservations of calls, and counts what they cost. Each of `p_bookings`: {customer_id, chatbot_id, calls, refused_by}; calls
-- are those of usage_of_v1, and `refused_by` is the budget for which a customer got no answer. Returns the tickets of the events: once a
-- month a warning at 80 %, and the end. Call it last: who waits for a budget's row holds what nobody with that row waits for.
create function budget_settle_v1(p_bookings jsonb) returns jsonb language plpgsql as $$
declare
    v_customers bigint[] := array(select distinct (item ->> 'customer_id')::bigint from jsonb_array_elements(p_bookings) item);
    v_events    jsonb;
begin
    perform budget_lock(v_customers);
    delete from budget_reservation where id = any (array(
        select (call ->> 'reservation')::uuid from jsonb_array_elements(p_bookings) item, jsonb_array_elements(item -> 'calls') call));
    with spent as materialized (
        select booking.customer_id, booking.chatbot_id, sum(usage.counted_tokens) as tokens, sum(usage.cost) as money
        from jsonb_to_recordset(p_bookings) as booking(customer_id bigint, chatbot_id bigint, calls jsonb),
            lateral usage_of_v1(booking.calls) usage
        group by 1, 2
    )
    update budget set spent_tokens = spent_tokens + total.tokens, spent_money = spent_money + total.money
    from (select counted.id, coalesce(sum(spent.tokens), 0) as tokens, coalesce(sum(spent.money), 0) as money
          from budget counted join spent on spent.customer_id = counted.customer_id
              and (counted.chatbot_id is null or spent.chatbot_id = counted.chatbot_id)
          group by counted.id) total
    where budget.customer_id = any (v_customers) and budget.id = total.id;
    with reached as materialized (
        select budget.id, case when exhausted_at is null and (budget_share(budget) >= 1 or budget.id = any (array(
                select (item ->> 'refused_by')::bigint from jsonb_array_elements(p_bookings) item))) then 'budget.exhausted' end as at_end,
            case when warned_at is null and budget_share(budget) >= 0.8 then 'budget.warning' end as near_end
        from budget where customer_id = any (v_customers)
    ), marked_budgets as (
        update budget set exhausted_at = case when at_end is not null then now() else exhausted_at end,
            warned_at = case when near_end is not null then now() else warned_at end
        from reached where budget.id = reached.id and (at_end is not null or near_end is not null)
        returning budget.*, at_end, near_end
    )
    select jsonb_agg(customer_event_v1(event, customer_id, jsonb_build_object(
        'budget_id', id, 'chatbot_id', chatbot_id, 'month', to_char(month, 'YYYY-MM'), 'tokens', tokens, 'spent_tokens', spent_tokens,
        'money', money, 'spent_money', trim_scale(spent_money), 'at_limit', at_limit)) order by event desc) into v_events
    from marked_budgets, unnest(array[near_end, at_end]) event where event is not null;
    return case when v_events is null then '[]'::jsonb else webhook_emit(v_events) end;
end $$;

-- Books calls whose job goes on, or that have none: as budget_settle_v1, with the message that the usage is about in `message_id`.
create function usage_book_v1(p_bookings jsonb) returns jsonb language plpgsql as $$
begin
    insert into usage_log (customer_id, chatbot_id, kind, message_id, quantity, prompt_tokens, completion_tokens, model, cost, counted_tokens)
    select booking.customer_id, booking.chatbot_id, usage.kind, message.id, usage.calls, usage.prompt_tokens, usage.completion_tokens,
        usage.model, usage.cost, usage.counted_tokens
    from ( -- a message that two calls are about has one row
            select customer_id, chatbot_id, message_id, jsonb_agg(call) as calls
            from jsonb_to_recordset(p_bookings) as b(customer_id bigint, chatbot_id bigint, message_id bigint, calls jsonb),
                jsonb_array_elements(calls) call
            group by 1, 2, 3) booking
        left join message on message.id = booking.message_id, lateral usage_of_v1(booking.calls) usage
    on conflict (message_id, kind) do update set quantity = usage_log.quantity + excluded.quantity, model = excluded.model,
        prompt_tokens = least(usage_log.prompt_tokens::bigint + excluded.prompt_tokens, 2147483647),
        completion_tokens = least(usage_log.completion_tokens::bigint + excluded.completion_tokens, 2147483647),
        counted_tokens = usage_log.counted_tokens + excluded.counted_tokens,
        cost = case when excluded.cost is null then usage_log.cost else coalesce(usage_log.cost, 0) + excluded.cost end;
    return budget_settle_v1(p_bookings);
end $$;

-- As usage_book_v1, for calls that no claim fences: what is booked so late that the sweep has counted its reservation as spent does
-- not count again. Reservations come first, as in the sweep, so neither waits for the other while it has the budgets.
create function usage_book_v2(p_bookings jsonb) returns jsonb language plpgsql as $$
declare
    v_ended uuid[];
begin
    with ended as (
        delete from budget_reservation where id = any (array(
            select (call ->> 'reservation')::uuid from jsonb_array_elements(p_bookings) item, jsonb_array_elements(item -> 'calls') call))
        returning id
    )
    select coalesce(array_agg(id), '{}') into v_ended from ended;
    return usage_book_v1((
        select jsonb_agg(item || jsonb_build_object('calls', (
            select coalesce(jsonb_agg(call), '[]') from jsonb_array_elements(item -> 'calls') call
            where call ->> 'reservation' is null or (call ->> 'reservation')::uuid = any (v_ended))))
        from jsonb_array_elements(p_bookings) item));
end $$;

-- Reservations that no claim will settle any more: the worker died, or no answer came in time. Whether the provider charges for the call
-- is not known, so all of it counts as spent, as usage of the kind "unknown": then no month costs more than its budget says. One
-- without a job is given `p_seconds`. Returns {reservations, tickets}.
create function budget_sweep_v1(p_seconds float8) returns jsonb language plpgsql as $$
declare
    v_bookings jsonb;
begin
    select jsonb_agg(jsonb_build_object('customer_id', customer_id, 'chatbot_id', chatbot_id, 'message_id', message_id,
        'calls', jsonb_build_array(jsonb_build_object('kind', 'unknown', 'base_url', base_url, 'model', model, 'answered_by', model,
            'prompt_tokens', prompt_tokens, 'completion_tokens', completion_tokens, 'seconds', seconds, 'reservation', id)))) into v_bookings
    from (select * from budget_reservation lost
          where case when job_id is null then created_at < now() - make_interval(secs => p_seconds)
                else not exists (select from job where job.id = lost.job_id and state = 'active' and claims = lost.claim) end
          order by created_at limit 500 for update skip locked) lost;
    return case when v_bookings is null then jsonb_build_object('reservations', 0, 'tickets', '[]'::jsonb)
        else jsonb_build_object('reservations', jsonb_array_length(v_bookings), 'tickets', usage_book_v1(v_bookings)) end;
end $$;

-- ---------------------------------------------------------------------------------------------------- webhooks

-- The events that there are, and those that an endpoint hears of if it does not say: shared/webhooks/events.py, which says what they
-- mean. Functions, and no table: a restored dump checks each endpoint before it fills other tables.
create function webhook_event_names() returns text[] language sql immutable parallel safe as $$
    select '{message.received,message.sent,message.delivered,message.read,message.failed,message.fallback,conversation.opened,'
        'conversation.handoff,conversation.assigned,conversation.returned,conversation.closed,conversation.braked,channel.down,'
        'channel.up,template.status,knowledge.gap,budget.warning,budget.exhausted,endpoint.disabled}'::text[]
$$;

create function webhook_default_events() returns text[] language sql immutable parallel safe as $$
    select array(select name from unnest(webhook_event_names()) name where name not in ('message.delivered', 'message.read'))
$$;

-- Numbers events in the order in which they happened (webhook_emit).
create sequence event_sequence;

create table webhook_endpoint (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    -- Null: nothing is pushed; its events are read with GET /events.
    url         text check (url_is_normalized(url)),
    secret      text not null, -- encrypted; signs deliveries as Standard Webhooks say
    events      text[] not null default webhook_default_events()
        check (events <@ webhook_event_names() and cardinality(events) > 0),
    active      boolean not null default true,
    created_at  timestamptz not null default now(),
    -- Seconds between the attempts at an event that failed. Null: WEBHOOK_REDELIVERY_SCHEDULE; empty: it is not tried again.
    redelivery_schedule integer[]
        check (cardinality(redelivery_schedule) <= 20 and 0 < all (redelivery_schedule) and 604800 >= all (redelivery_schedule)),
    description text not null default '' check (length(description) <= 200),
    -- Whose events it hears of, beside what is about no chatbot and no channel. Null: of all.
    chatbots    bigint[] check (cardinality(chatbots) between 1 and 100),
    channels    text[] check (cardinality(channels) between 1 and 20),
    headers     text, -- encrypted; a JSON object of what its owner wants sent besides
    rate_limit  text check (rate_limit ~ '^[1-9][0-9]{0,4}/[1-9][0-9]{0,3}[smh]$'), -- like 10/1s
    -- Its deliveries wait: an event is `held`, and has no job, until it is resumed.
    paused      boolean not null default false,
    -- The secret before this one signs as well, until then.
    old_secret  text, -- encrypted
    old_secret_until timestamptz,
    -- Since when it has only failed; when its owner was told that it will be disabled (shared/webhooks/failing.py).
    failing_since timestamptz,
    warned_at   timestamptz,
    -- Why it was disabled, if its owner did not do it.
    disabled_reason text check (disabled_reason in ('failing', 'gone')),
    -- When it got another URL: 410 of a call that had begun before says nothing about the new one.
    url_changed_at timestamptz,
    check ((old_secret is null) = (old_secret_until is null)),
    check (warned_at is null or failing_since is not null),
    check (disabled_reason is null or not active),
    unique (customer_id, id)
);

-- Secrets that were replaced before `old_secret` was, and whose day is not over (shared/webhooks/rotation.py).
create table webhook_earlier_secret (
    id          bigint generated always as identity primary key,
    endpoint_id bigint not null references webhook_endpoint on delete cascade,
    secret      text not null, -- encrypted
    until       timestamptz not null
);
create index webhook_earlier_secret_endpoint_idx on webhook_earlier_secret (endpoint_id);

create table webhook_event (
    id              bigint generated always as identity primary key,
    customer_id     bigint not null references customer on delete cascade,
    endpoint_id     bigint not null,
    event           text not null check (event <> ''),
    payload         jsonb not null check (jsonb_typeof(payload) = 'object'),
    status          text not null default 'PENDING' check (status in ('PENDING', 'DELIVERED', 'FAILED')),
    attempts        integer not null default 0 check (attempts >= 0),
    response_status integer,
    error           text,
    created_at      timestamptz not null default now(),
    delivered_at    timestamptz,
    -- When an event that failed is tried again; a job that delivers it is written then. Null: not by itself.
    next_attempt_at timestamptz,
    -- Steps of the redelivery schedule that are used up.
    redeliveries    smallint not null default 0 check (redeliveries >= 0),
    -- Its endpoint is paused: it has no job, and gets one when the endpoint is resumed.
    held            boolean not null default false,
    -- Of an endpoint without a URL: its place in the order in which events were first read, 0 before that. Null: it is pushed. What
    -- commits late may have the lower id, and would be missed by whoever goes on behind the highest one that they have read.
    position        bigint check (position >= 0),
    foreign key (customer_id, endpoint_id) references webhook_endpoint (customer_id, id) on delete cascade,
    check ((status = 'DELIVERED') = (delivered_at is not null)),
    check (status <> 'FAILED' or error is not null),
    check (next_attempt_at is null or status <> 'DELIVERED'),
    check (not held or status = 'PENDING')
) with (fillfactor = 80);
create index webhook_event_customer_idx on webhook_event (customer_id, id desc);
create index webhook_event_endpoint_idx on webhook_event (endpoint_id, id);
create index webhook_event_held_idx on webhook_event (endpoint_id, id) where held;
-- Counts what failed. By `error` and not by `status`, for a first delivery changes only the status, and rewrites no index (a HOT update).
create index webhook_event_error_idx on webhook_event (endpoint_id) where error is not null;
create index webhook_event_unread_idx on webhook_event (endpoint_id, id) where position = 0;
create unique index webhook_event_position_idx on webhook_event (endpoint_id, position) where position > 0;
create sequence webhook_event_position;
create index webhook_event_due_idx on webhook_event (next_attempt_at) where next_attempt_at is not null;

-- When an event is tried again that failed: by its endpoint's schedule (seconds), of which `p_used` steps are used up, 10 % earlier or
-- later; or when the endpoint wants it (Retry-After), if that is later, and within the schedule. The steps that such a wait skips are
-- used up as well. No row: not again.
create function webhook_redelivery_v1(p_schedule integer[], p_used integer, p_retry_after float8)
returns table (used integer, seconds float8) language sql volatile rows 1 as $$
    with steps as (
        select step, delay, sum(delay) over (order by step) as until
        from unnest(p_schedule) with ordinality as schedule(delay, step) where step > p_used
    ), asked as (
        select least(greatest(p_retry_after, 0), max(until)) as wait from steps
    )
    select min(step) filter (where until >= wait)::integer, greatest(max(wait), (array_agg(delay order by step))[1] * (0.9 + random() / 5))
    from steps, asked having count(*) > 0
$$;

-- A call to an endpoint, and what came of it. Its endpoint and customer are the event's; it goes when the event goes.
create table webhook_attempt (
    id          bigint generated always as identity primary key,
    event_id    bigint not null references webhook_event on delete cascade,
    endpoint_id bigint not null,
    customer_id bigint not null,
    number      integer not null check (number > 0), -- of the event's; the receiver's X-Webhook-Attempt
    -- first      the event was new; with the retries of the following seconds
    -- automatic  it had failed, and its time came again
    -- manual, bulk  somebody wanted it, or all events of a time, delivered again
    -- test       somebody tries the endpoint
    trigger     text not null check (trigger in ('first', 'automatic', 'manual', 'bulk', 'test')),
    started_at  timestamptz not null,
    -- {resolve, connect, tls, answer}: those that there were.
    ms          jsonb not null default '{}' check (jsonb_typeof(ms) = 'object'),
    status      integer check (status between 100 and 999), -- HTTP's; null: there was no answer
    answer      text check (length(answer) <= 4096), -- the first 4 KiB of it -- personal data
    error_code  text check (error_code ~ '^[a-z0-9_]+$'), -- shared/webhooks/attempts.py
    error       text,
    next_at     timestamptz, -- of the next attempt, if there will be one by itself
    unique (event_id, number),
    check ((error_code is null) = (error is null) and (error is null) = (coalesce(status, 0) between 200 and 299)),
    check (next_at is null or error is not null)
);
create index webhook_attempt_endpoint_idx on webhook_attempt (endpoint_id, id desc);

-- -------------------------------------------------------------------------------------------------- the ledger
--
-- Redis carries a job's id; this row is the job. Indexes of open jobs use `closed_at` and not `state`, so a claim and its
-- renewals rewrite no index (HOT updates).

create table job (
    id              bigint generated always as identity primary key,
    -- One of shared/queues.py; a channel's send queue is named in `channel`.
    queue           text not null check (queue ~ '^[a-z]+(-[a-z]+)*$'),
    -- waiting   may run now, or is `held` until an older job of its ordering key is closed
    -- delayed   may run at `run_at`: a retry, a throttle, a debounce
    -- active    a worker has claimed it, until `lease_until`
    -- completed its effects are committed
    -- failed    for good; `closed_at` is set when its dead letter is written; `held` if an operator deleted a held job
    state           text not null default 'waiting'
        check (state in ('waiting', 'delayed', 'active', 'completed', 'failed')),
    priority        smallint not null default 5 check (priority in (1, 3, 5, 7)),
    payload         jsonb not null,
    ordering_key    text check (ordering_key <> ''),
    held            boolean not null default false,
    -- A hash of chatbot, channel and external id: a second submission of the same message finds this job.
    dedup_key       text,
    customer_id     bigint,
    -- No foreign keys: an incoming job refers to its message before that row exists, and job records may outlive both.
    message_id      bigint,
    webhook_event_id bigint,
    -- Executions that count against max_retries: neither a snooze nor a shutdown does.
    attempts        integer not null default 0 check (attempts >= 0),
    -- The last claim's number, a fence: a late result of an earlier claim is refused. A claim adds 4,096, so that they can be counted, and
    -- draws what is below that.
    claims          integer not null default 0 check (claims >= attempts),
    -- Workers that died with it. With one it is a suspect and runs alone; with three it counts as poison.
    lost_claims     integer not null default 0 check (lost_claims <= claims),
    -- Since when a send's outcome is unknown: it was sent, and the answer was lost (shared/channels/sending.py).
    outcome_unknown_since timestamptz,
    last_error      text,
    last_traceback  text,
    claimed_by      text,
    lease_until     timestamptz,
    run_at          timestamptz,
    created_at      timestamptz not null default now(),
    started_at      timestamptz,
    closed_at       timestamptz,
    -- What else than its time it waits for: an account that cannot send (channel_account_v1); whoever sees that it can releases it. Or the
    -- end of a pause ('pause 7').
    waits_for       text,
    check ((state = 'active') = (lease_until is not null)),
    check ((state = 'active') = (claimed_by is not null)),
    check ((state = 'delayed') = (run_at is not null)),
    check (not held or (state in ('waiting', 'delayed', 'failed') and ordering_key is not null)),
    check (state <> 'failed' or last_error is not null),
    check (case state when 'completed' then closed_at is not null when 'failed' then true else closed_at is null end)
) with (fillfactor = 70);

create unique index job_dedup_idx on job (dedup_key) where dedup_key is not null;
-- At most one job of an ordering key may run ...
create unique index job_runner_idx on job (queue, ordering_key)
    where closed_at is null and not held and ordering_key is not null;
-- ... and the oldest of those behind it is the next.
create index job_held_idx on job (queue, ordering_key, id) where closed_at is null and held;
-- For the sweep, which says `id > 0`. Statements about one ordering key do not say it, so that no plan made while few jobs
-- are open ever reads all open jobs of a queue to find those of one key.
create index job_open_idx on job (queue, id) where closed_at is null and id > 0;
-- No index contains `state`, so that a claim, which changes no other indexed column, updates no index.
create index job_closed_idx on job (closed_at) where closed_at is not null; -- prune
-- For the API's count of a business's jobs.
create index job_customer_idx on job (customer_id, queue) where closed_at is not null;
create index job_waits_for_idx on job (waits_for, id) where waits_for is not null and closed_at is null;
create index job_message_idx on job (message_id) where message_id is not null;

-- The verbs of the ledger. Each step of a job costs one round trip, and each statement in a volatile function sees what
-- others committed while it waited for a lock. They take many jobs at once, in rows numbered by `n`: the threads of a
-- process share statements (shared/db/batching.py). `rows 1` makes a caller join each row to what it names by an index, also
-- in a plan that was made while the tables were empty. Which verb moves a job from which state to which:
--
--   (new)                     job_add_v1            waiting, delayed
--   waiting, delayed (due)    job_claim_v3          active        also an active job whose lease has expired
--   active                    job_complete_v2       completed     a single-statement stage: waiting or delayed, at once
--   active                    job_snooze_v2         delayed       costs no attempt; a single-statement stage: waiting
--   active                    job_park_v1           delayed       until what it waits for is there; costs no attempt
--   delayed                   job_release_v1        delayed       it is there: due at once, or soon; pause_release_v2 does the same
--   active                    job_fail_attempt_v1   delayed, or failed after the last attempt
--   active                    job_renew_leases_v2   active
--   active                    job_release_leases_v1 waiting       a worker that shuts down; costs no attempt
--   waiting, delayed          job_mark_lost_v1      the same      its worker died with it in hand
--   active                    job_begin_alone_v1    active        a worker died with it: it runs alone in a process
--   active                    job_lost_alone_v1     active        that process died
--   active                    job_expire_leases_v1  active        their worker is dead: others may claim them now
--   failed                    job_close_failed_v1   failed, closed
--   failed                    job_requeue_v2        waiting       an operator runs it again
--   waiting, delayed, failed  job_discard_v1        failed        an operator gives it up

-- Transactions that add to an ordering key and those that close its head take turns; the lock ends with the transaction. Keys are
-- locked in the order of the stages, those of one stage in the order of their hashes, so that two transactions never
-- wait for each other.
create function job_lock(p_queue text, p_keys text[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(key_hash) from (
        select distinct hashtextextended(p_queue || ' ' || key, 0) as key_hash from unnest(p_keys) key
        where key is not null order by key_hash) keys;
end $$;

-- What a caller must enqueue in Redis after its commit: {id, queue, priority, customer_id, delay_ms}. Volatile, because its clock
-- is: only then does PostgreSQL inline it into the caller's plan.
create function job_ticket(j job) returns jsonb language sql volatile as $$
    select jsonb_build_object('id', j.id, 'queue', j.queue, 'priority', j.priority, 'customer_id', j.customer_id, 'delay_ms',
        case when j.state = 'delayed'
             then greatest(0, ceil(extract(epoch from j.run_at - clock_timestamp()) * 1000)::bigint) else 0 end)
$$;

-- A job of the same ordering key that has not begun takes over the payload and message of `p_job`, and its delay begins
-- anew: one reply that has seen them all. Returns the tickets, or null if there is no such job.
create function job_debounce(p_job jsonb) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set payload = p_job -> 'payload', message_id = (p_job ->> 'message_id')::bigint, state = 'delayed',
                   run_at = clock_timestamp() + make_interval(secs => (p_job ->> 'delay_seconds')::float8)
    where id = (select id from job
                where queue = p_job ->> 'queue' and ordering_key = p_job ->> 'ordering_key' and closed_at is null
                  and attempts = 0 and state in ('waiting', 'delayed') order by id desc limit 1)
        and attempts = 0 and state in ('waiting', 'delayed') -- a worker may have claimed it while this waited for its row
    returning * into v_job;
    return case when not found then null when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- (new) -> waiting, delayed. Each of `p_jobs`: {queue, payload, ordering_key?, priority?, customer_id?, message_id?,
-- webhook_event_id?, dedup_key?, delay_seconds?, debounce?}. Returns the tickets to enqueue: none for a held job.
create function job_add_v1(p_jobs jsonb) returns jsonb language plpgsql as $$
declare
    v_new       jsonb := '[]';
    v_tickets   jsonb := '[]';
    v_debounced jsonb;
    v_item      jsonb;
    v_queue     text;
begin
    for v_queue in select distinct j ->> 'queue' from jsonb_array_elements(p_jobs) j
                   where j ->> 'ordering_key' is not null order by 1 loop
        perform job_lock(v_queue, array(select j ->> 'ordering_key' from jsonb_array_elements(p_jobs) j
                                        where j ->> 'queue' = v_queue));
    end loop;
    if p_jobs @> '[{"debounce": true}]' then
        for v_item in select jsonb_array_elements(p_jobs) loop
            v_debounced := case when (v_item ->> 'debounce')::boolean then job_debounce(v_item) end;
            if v_debounced is null then
                v_new := v_new || jsonb_build_array(v_item);
            else
                v_tickets := v_tickets || v_debounced;
            end if;
        end loop;
    else
        v_new := p_jobs;
    end if;
    with input as (
        select j.*, coalesce(j.delay_seconds, 0) > 0 as is_delayed,
            row_number() over (partition by j.queue, j.ordering_key order by ord) as place, ord
        from jsonb_array_elements(v_new) with ordinality as e(item, ord), jsonb_to_record(item) as j(
            queue text, payload jsonb, ordering_key text, priority smallint, customer_id bigint, message_id bigint,
            webhook_event_id bigint, dedup_key text, delay_seconds float8)
    ), new_jobs as (
        insert into job as j (queue, state, run_at, payload, ordering_key, held, priority, customer_id, message_id,
                              webhook_event_id, dedup_key)
        select queue, case when is_delayed then 'delayed' else 'waiting' end,
            case when is_delayed then clock_timestamp() + make_interval(secs => delay_seconds) end, payload, ordering_key,
            -- Not `exists`: PostgreSQL makes two plans for that, and may keep the one that reads the whole table.
            ordering_key is not null and (place > 1 or (
                select true from job head where head.queue = input.queue and head.ordering_key = input.ordering_key
                                            and head.closed_at is null and not head.held) is not null),
            coalesce(priority, 5), customer_id, message_id, webhook_event_id, dedup_key
        from input order by ord
        returning case when not held then job_ticket(j) end as ticket
    )
    select v_tickets || coalesce(jsonb_agg(ticket) filter (where ticket is not null), '[]'::jsonb) into v_tickets from new_jobs;
    return v_tickets;
end $$;

-- Lets the next job of each ordering key go. Called by those who closed its head, under its lock.
create function job_unhold_next(p_queue text, p_keys text[]) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with next_jobs as materialized (
        -- Not one that an operator deleted in line: its dead letter may be under way, and closes it.
        select (select id from job where queue = p_queue and ordering_key = key and closed_at is null and held
                                     and state <> 'failed' order by id limit 1) as id
        from unnest(p_keys) key
        -- Not `exists`: PostgreSQL may join by the queue alone, and read all of its jobs for each key.
        where (select true from job where queue = p_queue and ordering_key = key and closed_at is null and not held) is null
    ), unheld_jobs as (
        update job j set held = false where j.id = any (array(select id from next_jobs)) returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from unheld_jobs;
    return v_tickets;
end $$;

-- Adds an event, and the job that delivers it, for each endpoint that listens: [{customer_id, event, data}]. Of two events of a
-- conversation the later one has the larger `sequence`, for whoever changes a conversation has locked what the other one needs. A
-- number of its own for each conversation would take one lock more, and would have to be dealt with where two are merged. What is about
-- a test chat of the desk says so.
create function webhook_emit(p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_jobs jsonb;
begin
    with input as materialized ( -- numbered once, however many endpoints hear of it
        select customer_id, event, data || jsonb_build_object('sequence', nextval('event_sequence')) as data
        from jsonb_to_recordset(p_events) as i(customer_id bigint, event text, data jsonb)
    ), new_events as (
        insert into webhook_event (customer_id, endpoint_id, event, payload, held, position)
        select endpoint.customer_id, endpoint.id, input.event,
            case when input.data ->> 'channel' = 'widget' and (
                    select is_test from conversation where id = (input.data ->> 'conversation_id')::bigint)
                then input.data || '{"is_test": true}' else input.data end,
            endpoint.paused and endpoint.url is not null, case when endpoint.url is null then 0 end
        from input join webhook_endpoint endpoint on endpoint.customer_id = input.customer_id and endpoint.active
            and input.event = any (endpoint.events)
            and (endpoint.chatbots is null or coalesce((input.data ->> 'chatbot_id')::bigint = any (endpoint.chatbots), true))
            and (endpoint.channels is null or coalesce(input.data ->> 'channel' = any (endpoint.channels), true))
        order by input.data -> 'sequence'
        returning id, customer_id, held, position
    )
    select jsonb_agg(delivery_job_v1(customer_id, id) order by id) into v_jobs from new_events where not held and position is null;
    return case when v_jobs is null then '[]'::jsonb else job_add_v1(v_jobs) end;
end $$;

-- What jobs leave behind: `p_next` for job_add_v1, `p_events` for webhook_emit.
create function job_follow_up(p_next jsonb, p_events jsonb) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb := '[]';
begin
    if p_next <> '[]' then
        v_tickets := job_add_v1(p_next);
    end if;
    if p_events <> '[]' then
        v_tickets := v_tickets || webhook_emit(p_events);
    end if;
    return v_tickets;
end $$;

-- The worker in `claimed_by`; its job may run beside it, alone in a process.
create function worker_of(claimed_by text) returns text language sql immutable parallel safe as $$
    select replace(claimed_by, 'alone:', '')
$$;

-- Whether an active job, which `p_worker` is about to claim, was worked on under its last claim.
create function job_has_begun(j job, p_worker text, p_begun integer) returns boolean language sql immutable parallel safe as $$
    select j.state = 'active' and case when worker_of(j.claimed_by) = p_worker then j.claims = p_begun
                                       else j.lost_claims = 0 or j.claimed_by <> worker_of(j.claimed_by) end
$$;

-- waiting, delayed (due), active (lease expired) -> active. Each of `p_input`: {n, job_id, worker, lease, clock_skew (both
-- in seconds), at_most_once, durable, begun}; at_most_once and durable are the stage's, the same in each row. A stage that is
-- at most once remembers that a lost worker may have acted: its outcome is unknown. `durable` false: a claim that a crash of
-- PostgreSQL forgets costs one more execution, and nobody outside has seen anything.
--
-- A claim's number is partly drawn. PostgreSQL may forget a claim: it crashes before it has written one that is not durable, or a replica
-- takes over that has not received it. The job is claimed again, and whoever has the claim that is forgotten must not end the new one.
-- After 500,000 claims, those of a job that looks each second for a week, the numbers begin anew.
--
-- A worker is lost only if another one finds its job. The worker itself may take an active job of its own at once, for it asks
-- only where no thread of it works on the job: either the answer to its claim was lost, and nothing has begun, so that this is
-- the same attempt; or its work had begun under the claim `begun`, and what came of it could not be recorded. A job that a
-- worker died with before runs in no worker again, but alone in a process (job_begin_alone_v1): if its next worker dies before
-- that, nothing has begun.
create function job_claim_v3(p_queue text, p_input jsonb)
returns table (n integer, job_id bigint, claim integer, queue text, priority smallint, payload jsonb, attempt integer,
               lost_claims integer, age float8, customer_id bigint, message_id bigint, webhook_event_id bigint,
               outcome_unknown_for float8) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    if not (p_input -> 0 ->> 'durable')::boolean then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query
    with input as materialized (
        select * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, worker text, lease float8, clock_skew float8,
            at_most_once boolean, begun integer) order by job_id
    )
    update job set state = 'active', claims = (claims / 4096 % 500000 + 1) * 4096 + floor(random() * 4096)::integer,
        attempts = attempts + (state <> 'active' or job_has_begun(job, input.worker, input.begun))::integer,
        lost_claims = lost_claims + (job_has_begun(job, input.worker, input.begun)
            and worker_of(claimed_by) <> input.worker)::integer,
        outcome_unknown_since = case when input.at_most_once and job_has_begun(job, input.worker, input.begun)
            then clock_timestamp() else outcome_unknown_since end,
        claimed_by = input.worker, lease_until = clock_timestamp() + make_interval(secs => input.lease),
        run_at = null, started_at = coalesce(started_at, clock_timestamp())
    from input
    where job.id = any (array(select job_id from input)) -- by the index, also where the plan was made on an empty table
      and job.id = input.job_id and job.queue = p_queue and closed_at is null and not held
      and (state = 'waiting'
           or state = 'delayed' and run_at <= clock_timestamp() + make_interval(secs => input.clock_skew)
           or state = 'active' and (lease_until < clock_timestamp() or worker_of(claimed_by) = input.worker))
    returning input.n, job.id, job.claims, job.queue, job.priority, job.payload, job.attempts, job.lost_claims,
        extract(epoch from clock_timestamp() - job.created_at)::float8, job.customer_id, job.message_id, job.webhook_event_id,
        extract(epoch from clock_timestamp() - job.outcome_unknown_since)::float8;
end $$;

-- Locks the jobs that a single-statement stage may complete, in the order in which every process goes through them. Such a
-- stage only talks to PostgreSQL: until the commit nothing has happened, and after it all has, so it claims nothing.
-- Each of `p_input`: {n, job_id, claim}. Claim 0: nobody holds it, and no worker was lost with it. A job that lost one is
-- claimed first (shared/jobs/stage.py), so that a second loss is counted on it and on no neighbour.
create function job_lock_runnable_v2(p_queue text, p_input jsonb)
returns table (n integer, job_id bigint, claim integer, customer_id bigint, payload jsonb, attempt integer)
language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    select input.n, job.id, input.claim, job.customer_id, job.payload, job.attempts + (state <> 'active')::integer
    from (select distinct on (job_id) * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, claim integer)
          order by job_id, claim desc, n) input -- a job that was delivered twice is worked on once, by whoever has claimed it
    join job on job.id = input.job_id
        and job.id = any (array(select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))
    where job.queue = p_queue and closed_at is null and not held
      and case input.claim
          when 0 then lost_claims = 0
              and (state = 'waiting' or state = 'delayed' and run_at <= clock_timestamp() + interval '50 ms')
          else state = 'active' and claims = input.claim end
    order by job.id for update of job;
end $$;

-- active -> completed; a job of a single-statement stage (claim 0): waiting, delayed -> completed. Call it in the statement
-- that writes the results. `p_done`: {job id: the claim's number}; `p_next` and `p_events`: what follows. Raises SB001 if
-- one of them is not this claim's any longer: then nothing of the statement happened. `p_durable` false commits
-- asynchronously: nobody outside sees these results before a later durable commit, which makes all before it durable as
-- well; if a crash forgets them first, the jobs run again.
create function job_complete_v2(p_queue text, p_done jsonb, p_next jsonb default '[]', p_events jsonb default '[]',
                                p_durable boolean default true)
returns jsonb language plpgsql as $$
declare
    v_ids     bigint[] := array(select jsonb_object_keys(p_done)::bigint);
    v_locked  text[];
    v_keys    text[];
    v_closed  integer;
    v_tickets jsonb;
begin
    if not p_durable then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    select array_agg(ordering_key) filter (where ordering_key is not null) into v_locked from job where id = any (v_ids);
    if v_locked is not null then
        perform job_lock(p_queue, v_locked);
    end if;
    with closed_jobs as (
        update job set state = 'completed', closed_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
            claims = claims + (state <> 'active')::integer, attempts = attempts + (state <> 'active')::integer,
            run_at = null, lease_until = null, claimed_by = null
        where id = any (v_ids) and queue = p_queue and closed_at is null and not held
          and case (p_done ->> id::text)::integer when 0 then state in ('waiting', 'delayed')
              else state = 'active' and claims = (p_done ->> id::text)::integer end
        returning ordering_key
    )
    select count(*), array_agg(ordering_key) filter (where ordering_key is not null) into v_closed, v_keys from closed_jobs;
    if v_closed < cardinality(v_ids) then
        raise exception 'of the jobs %, only % still belong to these claims', p_done, v_closed using errcode = 'SB001';
    end if;
    if not v_keys <@ v_locked then -- a conversation was merged into another while this waited for the lock (conversation_merge)
        perform job_lock(p_queue, v_keys);
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_keys is not null then
        v_tickets := v_tickets || job_unhold_next(p_queue, v_keys);
    end if;
    return v_tickets;
end $$;

-- active (claim 0: waiting, delayed) -> delayed. Costs no attempt. Each of `p_input`: {n, job_id, claim, delay, max_age,
-- final_window (seconds), reason, untried}. A wait that would outlast the job's maximum age is cut, so that the job is tried once
-- more before that. Returns, for each job that is still this claim's, the seconds until it may run; null: it is too old. `untried`: it
-- has begun nothing yet, so that its time has not begun either (started_at).
create function job_snooze_v2(p_input jsonb) returns table (n integer, delay float8, age float8) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    with input as (
        select * from jsonb_to_recordset(p_input) as i(n integer, job_id bigint, claim integer, delay float8, max_age float8,
            final_window float8, reason text, untried boolean)
    ), current_jobs as materialized (
        select input.*, extract(epoch from clock_timestamp() - created_at)::float8 as age
        from input join job on job.id = input.job_id
            and job.id = any (array(select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))
        where closed_at is null and not held
          and case input.claim
              when 0 then state = 'waiting' or state = 'delayed' and run_at <= clock_timestamp() + interval '50 ms'
              else state = 'active' and claims = input.claim end
        order by job.id for update of job
    ), snoozed_jobs as (
        select *, case when delay <= max_age - age then delay
                       when max_age - age > final_window then max_age - age - random() * final_window end as allowed_delay
        from current_jobs
    ), delayed_jobs as (
        update job set state = 'delayed', run_at = clock_timestamp() + make_interval(secs => allowed_delay),
            attempts = attempts - (state = 'active')::integer, last_error = reason, last_traceback = null,
            lease_until = null, claimed_by = null, started_at = case when untried then null else started_at end
        from snoozed_jobs
        where job.id = any (array(select job_id from snoozed_jobs)) and job.id = snoozed_jobs.job_id
          and allowed_delay is not null
        returning snoozed_jobs.n
    )
    select snoozed_jobs.n, allowed_delay, snoozed_jobs.age from snoozed_jobs left join delayed_jobs using (n);
end $$;

-- active -> delayed for p_retry_delays[attempt] seconds, or failed where there is none. Returns {attempt, retry_in,
-- message_id, webhook_event_id}; nothing if the job is not this claim's any longer.
create function job_fail_attempt_v1(p_job_id bigint, p_claim integer, p_error text, p_traceback text,
                                    p_retry_delays float8[], p_outcome_unknown boolean)
returns table (attempt integer, retry_in float8, message_id bigint, webhook_event_id bigint) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    update job set
        state = case when p_retry_delays[attempts] is null then 'failed' else 'delayed' end,
        run_at = clock_timestamp() + make_interval(secs => p_retry_delays[attempts]),
        last_error = p_error, last_traceback = p_traceback, lease_until = null, claimed_by = null,
        outcome_unknown_since = case when p_outcome_unknown then clock_timestamp() else outcome_unknown_since end
    where id = p_job_id and state = 'active' and claims = p_claim
    returning job.attempts, p_retry_delays[job.attempts], job.message_id, job.webhook_event_id;
end $$;

-- active -> delayed, until job_release_v1 or, at the latest, for `p_seconds`. Costs no attempt. Returns whether it is still this
-- claim's.
create function job_park_v1(p_id bigint, p_claim integer, p_waits_for text, p_seconds float8, p_reason text)
returns boolean language sql as $$
    update job set state = 'delayed', run_at = clock_timestamp() + make_interval(secs => p_seconds), attempts = attempts - 1,
        last_error = p_reason, last_traceback = null, lease_until = null, claimed_by = null, waits_for = p_waits_for
    where id = p_id and state = 'active' and claims = p_claim
    returning true
$$;

-- delayed -> delayed, due one after the other, oldest first, `p_pace` seconds apart: what they waited for is there. Returns the
-- tickets.
create function job_release_v1(p_waits_for text, p_pace float8) returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with parked_jobs as (
        select id from job where waits_for = p_waits_for and closed_at is null and state = 'delayed' order by id for update
    ), numbered_jobs as (
        select id, row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, run_at = clock_timestamp() + make_interval(secs => place * p_pace)
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    return v_tickets;
end $$;

-- active -> active, until `p_lease` seconds from now. It waits for nobody: a job that is locked at this moment is being ended, or has the
-- next renewal; who ends several of them goes through them in another order.
create function job_renew_leases_v2(p_ids bigint[], p_claims integer[], p_lease float8) returns void language sql as $$
    update job set lease_until = clock_timestamp() + make_interval(secs => p_lease)
    from (select id, claims as claim from job where id = any (p_ids) and state = 'active' for no key update skip locked) held_job,
        unnest(p_ids, p_claims) as lease(id, claim)
    where job.id = any (p_ids) and job.id = held_job.id and lease.id = held_job.id and lease.claim = held_job.claim
$$;

-- active -> waiting: a worker that shuts down gives back what it could not finish, and its attempt with it. Returns the
-- tickets. `p_at_most_once`: for each job whether its outcome is unknown now.
create function job_release_leases_v1(p_ids bigint[], p_claims integer[], p_at_most_once boolean[])
returns jsonb language plpgsql as $$
declare
    v_tickets jsonb;
begin
    with released_jobs as (
        update job j set state = 'waiting', attempts = attempts - 1, lease_until = null, claimed_by = null,
            outcome_unknown_since = case when lease.at_most_once then clock_timestamp() else outcome_unknown_since end
        from unnest(p_ids, p_claims, p_at_most_once) as lease(id, claim, at_most_once)
        where j.id = any (p_ids) and j.id = lease.id and claims = lease.claim and state = 'active'
        returning job_ticket(j) as ticket
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    return v_tickets;
end $$;

-- The worker that had it in hand is dead; the state stays. Only once: from then on the job is claimed before it runs.
create function job_mark_lost_v1(p_ids bigint[]) returns integer language plpgsql as $$
declare
    v_marked integer;
begin
    update job set lost_claims = 1, claims = claims + 1
    where id = any (p_ids) and closed_at is null and state in ('waiting', 'delayed') and lost_claims = 0;
    get diagnostics v_marked = row_count;
    return v_marked;
end $$;

-- active -> active: from now on it runs alone in a process, whose worker does not die with it. Returns whether it is still this
-- claim's.
create function job_begin_alone_v1(p_job_id bigint, p_claim integer) returns boolean language sql as $$
    update job set claimed_by = 'alone:' || worker_of(claimed_by) where id = p_job_id and state = 'active' and claims = p_claim
    returning true
$$;

-- active -> active: the process in which it ran alone died. Returns how many workers it lost so far; null if the job is not this
-- claim's any longer.
create function job_lost_alone_v1(p_job_id bigint, p_claim integer) returns integer language sql as $$
    update job set lost_claims = lost_claims + 1 where id = p_job_id and state = 'active' and claims = p_claim
    returning lost_claims
$$;

-- active -> active, with a lease that has ended: this worker is dead, and whoever started it says so. What runs alone may go on.
create function job_expire_leases_v1(p_queues text[], p_worker text) returns void language sql as $$
    update job set lease_until = clock_timestamp()
    where queue = any (p_queues) and closed_at is null and id > 0 and state = 'active' and claimed_by = p_worker
$$;

-- failed -> failed and closed: the stage's dead letter is written in the same statement. Returns the tickets, or null if
-- that was done before.
create function job_close_failed_v1(p_id bigint, p_next jsonb default '[]', p_events jsonb default '[]')
returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_tickets jsonb;
begin
    select * into v_job from job where id = p_id for update;
    perform job_lock(v_job.queue, array[v_job.ordering_key]);
    update job set closed_at = clock_timestamp() where id = p_id and state = 'failed' and closed_at is null;
    if not found then
        return null;
    end if;
    v_tickets := job_follow_up(p_next, p_events);
    if v_job.ordering_key is not null then
        v_tickets := v_tickets || job_unhold_next(v_job.queue, array[v_job.ordering_key]);
    end if;
    return v_tickets;
end $$;

-- For the sweep: lets an ordering key go on whose head is gone. The locks leave none such; an operator's DELETE may.
create function job_release_orphans_v1(p_queue text, p_key text) returns jsonb language plpgsql as $$
begin
    perform job_lock(p_queue, array[p_key]);
    return job_unhold_next(p_queue, array[p_key]);
end $$;

-- ---------------------------------------------------------------------------------- what the pipeline's stages share
--
-- A stage writes the next stage's job in the statement that ends its own, so each kind of job is built in one place: these
-- functions say what job_add_v1 and webhook_emit take (shared/payloads.py says the same of the payloads).

-- incoming-messages -> ai-processing.
create function answer_job_v1(p_customer_id bigint, p_priority smallint, p_message_id bigint, p_conversation_id bigint,
                              p_debounce_seconds real) returns jsonb language sql stable as $$
    select jsonb_build_object('queue', 'ai-processing', 'priority', p_priority, 'customer_id', p_customer_id,
        'message_id', p_message_id, 'ordering_key', p_conversation_id::text,
        'delay_seconds', p_debounce_seconds, 'debounce', p_debounce_seconds > 0,
        'payload', jsonb_build_object('message_id', p_message_id, 'conversation_id', p_conversation_id))
$$;

-- incoming-messages -> media-fetch, where there is media to fetch. One conversation's go one after another.
create function media_job_v1(p_customer_id bigint, p_priority smallint, p_message_id bigint, p_conversation_id bigint)
returns jsonb language sql stable as $$
    select jsonb_build_object('queue', 'media-fetch', 'priority', p_priority, 'customer_id', p_customer_id,
        'message_id', p_message_id, 'ordering_key', p_conversation_id::text, 'payload', jsonb_build_object(
            'message_id', p_message_id, 'conversation_id', p_conversation_id))
$$;

-- What is searched for when a question is answered: all that the customer wrote since the last reply up to it, and the turn before,
-- which says what "it" is. No row for no question.
create function searched_words_v1(p_conversation_id bigint, p_message_id bigint) returns table (question text, before text)
language plpgsql stable strict rows 1 as $$
declare
    v_last_reply bigint;
    v_last_question bigint;
begin
    select coalesce(reply_to, id) into v_last_reply from message
    where conversation_id = p_conversation_id and role <> 'user' and coalesce(reply_to, id) < p_message_id
    order by id desc limit 1;
    select id into v_last_question from message
    where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= v_last_reply order by id desc limit 1;
    return query select
        -- Of a long text both ends, for the question often stands at the last; and what it replies to.
        (select string_agg(case when length(content) <= 4000 then content else left(content, 2000) || E'\n' || right(content, 2000) end
                || coalesce(E'\n' || left(data #>> '{quoted,text}', 500), ''), E'\n' order by id) from (
            select id, content, data from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= p_message_id
                and id > coalesce(v_last_reply, 0) and revoked_at is null
            order by id desc limit 10) newest),
        (select string_agg(left(content, 2000), E'\n' order by id) from (
            select id, content from message
            where conversation_id = p_conversation_id and role not in ('assistant', 'agent') and id <= v_last_question
                and id > coalesce((select coalesce(reply_to, id) from message
                    where conversation_id = p_conversation_id and role <> 'user' and coalesce(reply_to, id) < v_last_question
                    order by id desc limit 1), 0) and revoked_at is null
            order by id desc limit 10) newest);
end $$;

-- A reply that was saved -> outgoing-messages.
create function outgoing_job_v1(p_customer_id bigint, p_message_id bigint, p_conversation_id bigint, p_channel text)
returns jsonb language sql stable as $$
    select jsonb_build_object('queue', 'outgoing-messages', 'customer_id', p_customer_id, 'message_id', p_message_id,
        'ordering_key', p_conversation_id::text, 'payload', jsonb_build_object(
            'message_id', p_message_id, 'conversation_id', p_conversation_id, 'channel', p_channel))
$$;

-- outgoing-messages -> the channel's send queue.
create function send_job_v1(p_queue text, p_customer_id bigint, p_message_id bigint, p_conversation_id bigint)
returns jsonb language sql stable as $$
    select jsonb_build_object('queue', p_queue, 'customer_id', p_customer_id, 'message_id', p_message_id,
        'ordering_key', p_conversation_id::text, 'payload', jsonb_build_object('message_id', p_message_id))
$$;

-- An event -> webhook-delivery.
create function delivery_job_v1(p_customer_id bigint, p_webhook_event_id bigint) returns jsonb language sql stable as $$
    select jsonb_build_object('queue', 'webhook-delivery', 'customer_id', p_customer_id,
        'webhook_event_id', p_webhook_event_id, 'payload', jsonb_build_object('webhook_event_id', p_webhook_event_id))
$$;

-- An event -> webhook-delivery. `p_trigger`: shared/webhooks/triggers.py. What nobody waits for goes behind first deliveries (priority 7).
create function delivery_job_v2(p_customer_id bigint, p_webhook_event_id bigint, p_trigger text) returns jsonb
language sql stable as $$
    select delivery_job_v1(p_customer_id, p_webhook_event_id) || jsonb_build_object(
        'priority', case when p_trigger in ('automatic', 'bulk') then 7 else 5 end,
        'payload', jsonb_build_object('webhook_event_id', p_webhook_event_id, 'trigger', p_trigger))
$$;

-- An event, for job_complete_v2 and its siblings or for events_add_v1; one function for each thing that events are about. `p_more`
-- are further members of its data (shared/webhooks/schemas.py).
create function message_event_v2(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint,
                                 p_channel text, p_message_id bigint, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object('message_id', p_message_id,
        'conversation_id', p_conversation_id, 'chatbot_id', p_chatbot_id, 'channel', p_channel) || p_more)
$$;

create function conversation_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint,
                                      p_channel text, p_external_user_id text, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object(
        'conversation_id', p_conversation_id, 'chatbot_id', p_chatbot_id, 'channel', p_channel,
        'external_user_id', p_external_user_id) || p_more)
$$;

create function channel_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_channel text, p_more jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', jsonb_build_object(
        'chatbot_id', p_chatbot_id, 'channel', p_channel) || p_more)
$$;

create function customer_event_v1(p_event text, p_customer_id bigint, p_data jsonb default '{}')
returns jsonb language sql stable as $$
    select jsonb_build_object('customer_id', p_customer_id, 'event', p_event, 'data', p_data)
$$;

-- What a status says of a reply, where somebody wants to hear it; else null. That a reply left is said by the stage that sent it.
create function message_status_event_v1(p_id bigint, p_status text, p_error text, p_error_code text)
returns jsonb language sql stable as $$
    select message_event_v2(wanted.event, chatbot.customer_id, message.chatbot_id, message.conversation_id, message.channel, p_id,
        jsonb_build_object('reply_to', message.reply_to) || case when p_status = 'FAILED' then jsonb_build_object(
            'error', coalesce(p_error, 'the channel reported a failure'), 'error_code', p_error_code) else '{}' end)
    from message join chatbot on chatbot.id = message.chatbot_id,
        (values ('DELIVERED', 'message.delivered'), ('READ', 'message.read'), ('FAILED', 'message.failed')) wanted(status, event)
    where message.id = p_id and wanted.status = p_status and exists (
        select from webhook_endpoint where customer_id = chatbot.customer_id and active and wanted.event = any (events))
$$;

-- What WhatsApp has decided about templates [{name, language, status, reason}] of an account, for each business that has a number of
-- it. Returns the tickets to enqueue.
create function template_events_add_v1(p_waba_id text, p_templates jsonb) returns jsonb language sql as $$
    select webhook_emit(coalesce(jsonb_agg(customer_event_v1('template.status', customer_id, jsonb_build_object(
        'channel', 'whatsapp_cloud', 'waba_id', p_waba_id, 'name', template ->> 'name', 'language', template ->> 'language',
        'status', template ->> 'status', 'reason', template ->> 'reason'))), '[]'))
    from jsonb_array_elements(p_templates) template, (
        select distinct chatbot.customer_id from whatsapp_cloud_account account join chatbot on chatbot.id = account.chatbot_id
        where account.waba_id = p_waba_id) customers
$$;

-- An endpoint that only fails: `p_state` is failing (it will be disabled at `p_disables_at`) or disabled. Its other endpoints hear of it.
create function endpoint_event(e webhook_endpoint, p_state text, p_reason text, p_disables_at timestamptz) returns jsonb
language sql stable as $$
    select customer_event_v1('endpoint.disabled', e.customer_id, jsonb_build_object('endpoint_id', e.id, 'url', e.url,
        'state', p_state, 'reason', p_reason, 'failing_since', e.failing_since, 'disables_at', p_disables_at))
$$;

-- Disables an endpoint; `p_reason`: failing or gone. Returns the tickets; null if it was not active.
create function webhook_endpoint_disable_v1(p_id bigint, p_reason text) returns jsonb language plpgsql as $$
declare
    v_endpoint webhook_endpoint;
begin
    update webhook_endpoint set active = false, disabled_reason = p_reason where id = p_id and active returning * into v_endpoint;
    return case when found then webhook_emit(jsonb_build_array(endpoint_event(v_endpoint, 'disabled', p_reason, null))) end;
end $$;

-- Tells of an endpoint that will be disabled, once. Returns the tickets; null if it was told, or is well.
create function webhook_endpoint_warn_v1(p_id bigint, p_disables_at timestamptz) returns jsonb language plpgsql as $$
declare
    v_endpoint webhook_endpoint;
begin
    update webhook_endpoint set warned_at = clock_timestamp()
    where id = p_id and active and failing_since is not null and warned_at is null returning * into v_endpoint;
    return case when found then webhook_emit(jsonb_build_array(endpoint_event(v_endpoint, 'failing', 'failing', p_disables_at))) end;
end $$;

-- Adds such events, where no job ends. Returns the tickets to enqueue.
create function events_add_v1(p_events jsonb) returns jsonb language sql as $$
    select webhook_emit(p_events)
$$;

-- The one place where a reply's status moves: to a higher rank, or not at all. `p_attempts` (with `p_metadata`) is given
-- by a stage that ends an attempt: these are kept even where the status had moved further meanwhile, and an error of an
-- earlier attempt is forgotten. Returns whether anything changed.
create function message_set_status_v2(p_id bigint, p_status text, p_error text default null, p_external_id text default null,
                                      p_attempts integer default null, p_metadata jsonb default '{}')
returns boolean language plpgsql as $$
declare
    v_moves boolean;
begin
    select status_rank_v2(status) < status_rank_v2(p_status) into v_moves
    from message where id = p_id and role = 'assistant' for no key update;
    update message set
        status = case when v_moves then p_status else status end,
        error = case when v_moves and p_status = 'FAILED' then coalesce(p_error, 'the channel reported a failure')
                     when p_attempts is null or status = 'FAILED' and not v_moves then error end,
        external_id = case when p_attempts is null then coalesce(external_id, p_external_id)
                           else coalesce(p_external_id, external_id) end,
        attempts = coalesce(p_attempts, attempts), metadata = metadata || p_metadata, updated_at = clock_timestamp()
    where id = p_id and role = 'assistant' and (v_moves or p_attempts is not null);
    return found;
end $$;

-- Accepts an inbound message: returns {message_id, accepted, tickets}. The same external id of the same chatbot
-- and channel gives the first message's id, accepted false. Null if there is no such chatbot.
create function message_accept_v1(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_payload jsonb) returns jsonb language plpgsql as $$
declare
    v_customer     bigint := (select customer_id from chatbot where id = p_chatbot_id);
    v_dedup_key    text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
    v_ordering_key text := p_chatbot_id || ':' || p_channel || ':' || p_external_user_id;
    v_id           bigint;
begin
    if v_customer is null then
        return null;
    end if;
    -- Before the number: of two that come at once, the lower number is first in order, and is answered first. And before
    -- the external id: who accepts many goes through ordering keys in their order, and two of them never wait for each other.
    perform job_lock('incoming-messages', array[v_ordering_key]);
    if p_external_id is null then
        v_dedup_key := null;
    else
        perform pg_advisory_xact_lock(hashtextextended(v_dedup_key, 1));
        select id into v_id from message where chatbot_id = p_chatbot_id and channel = p_channel
                                           and external_id = p_external_id and role = 'user';
        if not found then
            select message_id into v_id from job where dedup_key = v_dedup_key;
        end if;
        if v_id is not null then
            return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
        end if;
    end if;
    v_id := nextval(pg_get_serial_sequence('message', 'id'));
    return jsonb_build_object('message_id', v_id, 'accepted', true, 'tickets', job_add_v1(jsonb_build_array(jsonb_build_object(
        'queue', 'incoming-messages', 'customer_id', v_customer, 'message_id', v_id, 'dedup_key', v_dedup_key,
        'ordering_key', v_ordering_key,
        'payload', p_payload || jsonb_build_object('message_id', v_id)))));
end $$;

-- The same, but for what an erased person wrote before that, and is delivered again: it is accepted no more. `p_marks`: of the message's
-- id and of its author's name. By its name what was written before the erasure counts; and what a colleague's phone reports within
-- two minutes of it, for that may be the echo of a reply that was on its way. Called under the lock of the message's ordering key.
-- What its author did to the message before it came (parked_change) is done to it now. What a colleague deleted takes the conversation
-- over all the same, as if it had come before.
create function message_accept_v4(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_external_id text,
                                  p_payload jsonb, p_marks text[]) returns jsonb language plpgsql as $$
declare
    v_sent_at timestamptz := to_timestamp((p_payload ->> 'sent_at')::float8);
    v_id      bigint;
    v_answer  jsonb;
    v_change  parked_change;
begin
    select coalesce(message_id, nextval(pg_get_serial_sequence('message', 'id'))) into v_id from tombstone
    where mark = any (p_marks) and (message_id is not null or v_sent_at < date_trunc('second', erased_at)
        or p_payload ->> 'author' = 'colleague' and clock_timestamp() < erased_at + interval '2 minutes')
    limit 1;
    if found then
        return jsonb_build_object('message_id', v_id, 'accepted', false, 'tickets', '[]'::jsonb);
    end if;
    v_answer := message_accept_v1(p_chatbot_id, p_channel, p_external_user_id, p_external_id, p_payload);
    if p_external_id is not null and (v_answer ->> 'accepted')::boolean then
        -- Both have the lock of this id until they commit, so that neither misses the other.
        delete from parked_change
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
            and case when p_payload ->> 'author' = 'colleague' then by_colleague or names = '{}'
                else not by_colleague and is_same_person(p_chatbot_id, p_channel, names, array(
                    select p_external_user_id
                    union all select jsonb_array_elements_text(coalesce(p_payload -> 'identities', '[]')))) end
        returning * into v_change;
        if found then
            update job set payload = case
                when v_change.content is null and payload ->> 'author' = 'colleague' then payload || '{"is_revoked": true}'
                else payload_changed(payload, v_change.content, v_change.data, v_change.changed_at) end
            where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
        end if;
    end if;
    return v_answer;
end $$;

-- ------------------------------------------------------------------------------------- one person, one conversation
--
-- Both functions wait for nobody longer than a tenth of a second, which is less than PostgreSQL takes to notice a deadlock:
-- whatever they meet, it is they who give up, and nothing has happened. Their caller tries again (shared/channels/contacts.py).

-- Makes a conversation a part of another one of the same person and channel. Its messages go over, and remember their address.
-- Its open jobs stand in line behind the other's; only where both have one in progress do these two end side by side. Whoever is
-- about to save a message or a reply into it finds it gone (foreign key), and looks again where its question is now.
create function conversation_merge(p_from bigint, p_into bigint) returns void language plpgsql as $$
declare
    v_from     conversation;
    v_into     conversation;
    v_queue    text;
    v_has_head boolean;
begin
    select * into v_from from conversation where id = p_from for update;
    select * into v_into from conversation where id = p_into for no key update;
    for v_queue in select unnest(array['media-fetch', 'ai-processing', 'outgoing-messages', send_queue]) from channel
                   where name = v_from.channel loop
        continue when v_queue is null;
        perform job_lock(v_queue, array[p_from::text, p_into::text]);
        v_has_head := (select true from job where queue = v_queue and ordering_key = p_into::text
                                              and closed_at is null and not held) is not null;
        update job set ordering_key = p_into::text, held = held or v_has_head,
            payload = payload || case when payload ? 'conversation_id' then jsonb_build_object('conversation_id', p_into)
                                      else '{}' end
        where queue = v_queue and ordering_key = p_from::text and closed_at is null
          and (held or not v_has_head or state in ('waiting', 'delayed'));
    end loop;
    update message set conversation_id = p_into, address = coalesce(address, v_from.external_user_id),
        -- The same key means the message that the surviving conversation has.
        idempotency_key = case when not exists (
            select from message other where other.conversation_id = p_into and other.idempotency_key = message.idempotency_key)
            then idempotency_key end
    where conversation_id = p_from;
    update conversation_note set conversation_id = p_into where conversation_id = p_from;
    -- A person who has one of them has both; if both had one, the later time to go back counts. Else one that is open stays open.
    if v_from.owner = v_into.owner then
        v_into.owner_since := greatest(v_into.owner_since, v_from.owner_since);
        if v_into.returns_at < v_from.returns_at or v_from.returns_at is null then
            v_into.returns_at := v_from.returns_at;
            v_into.return_after_minutes := v_from.return_after_minutes;
        end if;
    elsif v_from.owner = 'person' or v_into.owner = 'closed' then
        v_into.owner := v_from.owner;
        v_into.owner_since := v_from.owner_since;
        v_into.returns_at := v_from.returns_at;
        v_into.return_after_minutes := v_from.return_after_minutes;
    end if;
    update conversation set
        owner = v_into.owner,
        owner_since = v_into.owner_since,
        returns_at = v_into.returns_at,
        return_after_minutes = v_into.return_after_minutes,
        created_at = least(created_at, v_from.created_at),
        updated_at = greatest(updated_at, v_from.updated_at),
        revision = greatest(revision, v_from.revision),
        braked_until = greatest(braked_until, v_from.braked_until),
        brakes = greatest(brakes, v_from.brakes),
        handed_over_at = case when handed_over_at > v_from.handed_over_at then handed_over_at
                              else coalesce(v_from.handed_over_at, handed_over_at) end,
        handover_reason = case when handed_over_at > v_from.handed_over_at then handover_reason
                               else coalesce(v_from.handover_reason, handover_reason) end,
        window_ends_at = greatest(window_ends_at, v_from.window_ends_at),
        context_after = greatest(context_after, v_from.context_after),
        active_at = greatest(active_at, v_from.active_at),
        assigned_to = case when v_into.owner = 'person' then coalesce(assigned_to, v_from.assigned_to) end,
        handoff_told_at = greatest(handoff_told_at, v_from.handoff_told_at)
    where id = p_into;
    update merged_conversation set conversation_id = p_into where conversation_id = p_from;
    insert into merged_conversation (id, conversation_id) values (p_from, p_into);
    delete from conversation where id = p_from;
end $$;

-- These names are one person's: they become one contact's, the oldest one's that has any of them, and its conversations one on each
-- channel, the oldest. With one name: its conversation gets its contact. `p_moved_to`: the one among them that replaces the others
-- from now on (a changed number), as the channel writes it. Returns false where somebody else was at work on the same rows.
create function contact_learn_v1(p_chatbot_id bigint, p_channel text, p_names text[], p_moved_to text default null)
returns boolean language plpgsql set lock_timeout = '100ms' as $$
declare
    v_family        text := contact_family_v1(p_channel);
    v_names         text[] := array(select distinct contact_name_v1(p_channel, name) from unnest(p_names) name order by 1);
    v_contact_ids   bigint[];
    v_contact_id    bigint;
    v_conversations record;
    v_other_id      bigint;
begin
    perform pg_advisory_xact_lock(key) from (
        select distinct hashtextextended(p_chatbot_id || ':' || v_family || ':' || name, 2) as key
        from unnest(v_names) name order by key) keys;
    perform from contact_identity where chatbot_id = p_chatbot_id and family = v_family and name = any (v_names)
    order by name for update;
    v_contact_ids := array(select distinct contact_id from contact_identity
                           where chatbot_id = p_chatbot_id and family = v_family and name = any (v_names) order by 1);
    perform from contact where id = any (v_contact_ids) order by id for update;
    v_contact_id := v_contact_ids[1];
    if v_contact_id is null then
        insert into contact (chatbot_id) values (p_chatbot_id) returning id into v_contact_id;
    end if;
    update contact_identity set contact_id = v_contact_id where contact_id = any (v_contact_ids[2:]);
    insert into contact_identity (chatbot_id, family, name, contact_id)
    select p_chatbot_id, v_family, name, v_contact_id from unnest(v_names) name on conflict do nothing;
    for v_conversations in
        select channel, array_agg(id order by id) as ids from conversation
        where contact_id = any (v_contact_ids)
           or contact_id is null and chatbot_id = p_chatbot_id and channel = p_channel and external_user_id = any (p_names)
        group by channel
    loop
        foreach v_other_id in array v_conversations.ids[2:] loop
            perform conversation_merge(v_other_id, v_conversations.ids[1]);
        end loop;
        update conversation set contact_id = v_contact_id
        where id = v_conversations.ids[1] and contact_id is distinct from v_contact_id;
        if p_moved_to is not null and v_conversations.channel = p_channel then
            update conversation set external_user_id = p_moved_to
            where id = v_conversations.ids[1] and contact_name_v1(p_channel, external_user_id) = any (v_names);
            update message set address = null
            where conversation_id = v_conversations.ids[1] and contact_name_v1(p_channel, address) = any (v_names);
        end if;
    end loop;
    update contact set updated_at = clock_timestamp(), name = coalesce(
        (select name from contact other where id = any (v_contact_ids) and name is not null order by id limit 1),
        (select left(metadata ->> 'profile_name', 200) from message join conversation on conversation.id = conversation_id
         where contact_id = v_contact_id and role = 'user' and metadata ->> 'profile_name' <> '' order by message.id desc limit 1))
    where id = v_contact_id and name is null;
    delete from contact where id = any (v_contact_ids[2:]);
    if p_moved_to is not null then
        update contact_identity set left_at = case when name <> contact_name_v1(p_channel, p_moved_to) then clock_timestamp() end
        where chatbot_id = p_chatbot_id and family = v_family and name = any (v_names);
    end if;
    -- Another contact may have got one of the names since: then there is more to merge.
    return not exists (select from contact_identity where chatbot_id = p_chatbot_id and family = v_family
                           and name = any (v_names) and contact_id <> v_contact_id);
exception when lock_not_available or unique_violation or foreign_key_violation then
    return false;
end $$;

-- ------------------------------------------------------------------------------------------- who may answer
--
-- A conversation's owner says whose reply may leave (shared/channels/ownership.py). The owner changes under the lock of the
-- conversation's row, and a reply is claimed for sending under the same lock: of a takeover and a reply one is first.

-- Whether a reply may leave, by its conversation as it is under that lock. What a person writes answers no message, and always may. The
-- bot's must be of the time since the conversation is the bot's. Where the bot itself has handed it over, the reply that says so, and
-- those to earlier messages, may leave until a person has come.
create function reply_may_leave_v2(p_reply_to bigint, p_created_at timestamptz, p_owner text, p_owner_since timestamptz,
                                   p_handed_over_at timestamptz) returns boolean language sql immutable parallel safe as $$
    select p_reply_to is null or case p_owner
        when 'bot' then coalesce(p_created_at >= p_owner_since, true)
        when 'person' then coalesce(p_created_at <= p_handed_over_at, false)
        else false end
$$;

-- What job_claim_v3 returns, as one value.
create type claimed_job as (n integer, job_id bigint, claim integer, queue text, priority smallint, payload jsonb, attempt integer,
    lost_claims integer, age float8, customer_id bigint, message_id bigint, webhook_event_id bigint, outcome_unknown_for float8);

-- job_claim_v3 for a channel's send queue: under the locks of the conversations, so that whoever takes over does so before it or after
-- it. `status` is the reply's, SUPERSEDED if it may not leave. `has_moved`: its conversation was merged into another at this moment.
create function send_claim_v3(p_queue text, p_input jsonb)
returns table (job claimed_job, status text, has_moved boolean) language plpgsql rows 1 as $$
#variable_conflict use_column
begin
    return query
    with locked_conversations as materialized ( -- in the order in which incoming-messages goes through them
        select conversation.id, owner, owner_since, handed_over_at from conversation where id = any (array(
            select message.conversation_id from message where id = any (array(
                select message_id from job where id = any (array(
                    select (item ->> 'job_id')::bigint from jsonb_array_elements(p_input) item))))))
        order by chatbot_id, channel, external_user_id for no key update
    ), claimed_jobs as materialized (
        select claimed.* from (select count(*) from locked_conversations) locked, job_claim_v3(p_queue, p_input) claimed
    ), superseded_replies as materialized (
        select message.id from message join locked_conversations on locked_conversations.id = message.conversation_id
        where message.id = any (array(select claimed_jobs.message_id from claimed_jobs)) and message.status = 'PENDING'
            and not reply_may_leave_v2(message.reply_to, message.created_at, owner, owner_since, handed_over_at)
    ), kept_replies as ( -- whoever took over may have said so already
        update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
        where id = any (array(select id from superseded_replies)) and status = 'PENDING'
    )
    select row(claimed_jobs.*)::claimed_job,
        case when message.id in (select id from superseded_replies) then 'SUPERSEDED' else message.status end,
        message.conversation_id not in (select id from locked_conversations)
    from claimed_jobs left join message on message.id = claimed_jobs.message_id;
end $$;

-- Whether a message from the customer finds the bot again: a closed conversation opens, and a person's time may be over.
create function is_bots_again_v1(p_owner text, p_returns_at timestamptz) returns boolean language sql stable parallel safe as $$
    select p_owner = 'closed' or coalesce(p_returns_at <= now(), false)
$$;

-- The event of a conversation that changed hands; `p_by`: api, phone, provider, bot, customer, or idle.
create function owner_event_v1(p_event text, p_customer_id bigint, p_chatbot_id bigint, p_conversation_id bigint, p_channel text,
                               p_external_user_id text, p_owner text, p_by text, p_returns_at timestamptz default null)
returns jsonb language sql stable as $$
    select conversation_event_v1(p_event, p_customer_id, p_chatbot_id, p_conversation_id, p_channel, p_external_user_id,
        jsonb_build_object('owner', p_owner, 'by', p_by,
            'returns_at', to_char(p_returns_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
$$;

-- A person takes over, writes again, or closes the conversation: `p_owner` is person or closed. `p_minutes` without a message from
-- either side bring it back to the bot, 0: nothing does. Null: as it was agreed before, or as its chatbot says. Replies that wait are
-- SUPERSEDED, and one that is being written disappears from the page. Returns the tickets.
create function conversation_take_over_v1(p_id bigint, p_owner text, p_by text, p_minutes integer default null) returns jsonb
language plpgsql as $$
declare
    v_before  conversation;
    v_chatbot chatbot;
    v_minutes integer;
    v_after   conversation;
begin
    select * into v_before from conversation where id = p_id for no key update;
    if not found then
        return '[]';
    end if;
    select * into v_chatbot from chatbot where id = v_before.chatbot_id;
    v_minutes := nullif(case when p_owner = 'closed' then 0
                             when p_minutes is not null then p_minutes
                             when v_before.owner = 'person' then coalesce(v_before.return_after_minutes, 0)
                             else v_chatbot.return_after_minutes end, 0);
    update conversation set owner = p_owner,
        owner_since = case when owner = p_owner then owner_since else clock_timestamp() end,
        handed_over_at = null, handover_reason = null, return_after_minutes = v_minutes,
        returns_at = clock_timestamp() + make_interval(mins => v_minutes), updated_at = clock_timestamp(),
        active_at = active_at_v1(active_at), assigned_to = case when p_owner = 'person' then assigned_to end
    where id = p_id returning * into v_after;
    delete from reply_draft where conversation_id = p_id;
    if found then
        perform pg_notify('widget', md5(v_after.chatbot_id || ':' || v_after.external_user_id));
    end if;
    if v_before.owner = p_owner and v_before.handed_over_at is null then
        return '[]';
    end if;
    -- All but those that a send stage has claimed, which may have left.
    update message set status = 'SUPERSEDED', updated_at = clock_timestamp()
    where conversation_id = p_id and status = 'PENDING' and reply_to is not null and not exists (
        select from job where job.message_id = message.id and closed_at is null
            and (state = 'active' or outcome_unknown_since is not null));
    return webhook_emit((
        select jsonb_agg(owner_event_v1(event, v_chatbot.customer_id, v_chatbot.id, p_id, v_after.channel, v_after.external_user_id,
            p_owner, p_by, v_after.returns_at))
        from unnest(case p_owner when 'closed' then '{conversation.assigned,conversation.closed}'::text[]
                                 else '{conversation.assigned}' end) event));
end $$;

-- Hands a conversation of the bot's over to a person, for one of the fixed reasons (conversation_handover_reason), and tells the
-- business: the bot is silent until one has answered, or nobody came for the chatbot's minutes, which begin when people are there. Call
-- it before the statement's job ends, for whoever has the conversation's row waits for ordering keys. `p_reply_to`: the message because of
-- which. `p_tells`: tell the customer in the chatbot's words, else the caller's reply does, which leaves if it is of this transaction
-- (reply_may_leave_v2). Returns the tickets: none if the conversation is not the bot's.
create function hand_over_v1(p_conversation_id bigint, p_reason text, p_reply_to bigint default null, p_tells boolean default true)
returns jsonb language plpgsql as $$
declare
    v_chatbot   chatbot;
    v_opens_at  timestamptz;
    v_after     conversation;
    v_notice_id bigint;
    v_jobs      jsonb := '[]';
begin
    select chatbot.* into v_chatbot from chatbot join conversation on conversation.chatbot_id = chatbot.id
    where conversation.id = p_conversation_id;
    v_opens_at := opens_at_v1(v_chatbot.opening_hours, v_chatbot.time_zone, now());
    update conversation set owner = 'person', owner_since = now(), handed_over_at = now(), handover_reason = p_reason,
        return_after_minutes = nullif(v_chatbot.return_after_minutes, 0),
        returns_at = v_opens_at + make_interval(mins => nullif(v_chatbot.return_after_minutes, 0)),
        -- What made the model hand over would make it do so again, once it has the conversation back.
        context_after = case when p_reason not in ('asked', 'misses', 'loop', 'rule') then context_after
            else coalesce(p_reply_to, (select max(id) from message where conversation_id = p_conversation_id), context_after) end
    where id = p_conversation_id and owner = 'bot' returning * into v_after;
    if not found then
        return '[]';
    end if;
    if p_tells and v_chatbot.handover_message is not null then
        insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata, address)
        values (p_conversation_id, v_after.chatbot_id, v_after.channel, 'assistant',
            case when v_opens_at > now() then coalesce(v_chatbot.closed_message, v_chatbot.handover_message)
                 else v_chatbot.handover_message end,
            'PENDING', p_reply_to, jsonb_build_object('handoff', p_reason),
            (select address from message where conversation_id = p_conversation_id and role = 'user' order by id desc limit 1))
        on conflict (reply_to) where reply_to is not null do nothing returning id into v_notice_id;
        if v_notice_id is not null then
            perform job_lock('ai-processing', array[p_conversation_id::text]); -- keys are locked in the order of the stages
            v_jobs := jsonb_build_array(outgoing_job_v1(v_chatbot.customer_id, v_notice_id, p_conversation_id, v_after.channel));
        end if;
    end if;
    return job_follow_up(v_jobs, jsonb_build_array(
        conversation_event_v1('conversation.handoff', v_chatbot.customer_id, v_chatbot.id, p_conversation_id, v_after.channel,
            v_after.external_user_id, jsonb_build_object('message_id', p_reply_to, 'reason', p_reason)),
        owner_event_v1('conversation.assigned', v_chatbot.customer_id, v_chatbot.id, p_conversation_id, v_after.channel,
            v_after.external_user_id, 'person', 'bot', v_after.returns_at)));
end $$;

-- The job that answers what the customer wrote last, in an array: empty if the conversation is not the bot's, if that was answered, or is
-- being, or is older than `p_answer_within` seconds.
create function question_jobs_v1(p_conversation_id bigint, p_answer_within float8) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(answer_job_v1(customer.id, customer.priority, question.id, conversation.id, 0)), '[]')
    from conversation join chatbot on chatbot.id = conversation.chatbot_id join customer on customer.id = chatbot.customer_id,
        lateral (select * from message where conversation_id = conversation.id and role not in ('assistant', 'agent')
                 order by id desc limit 1) question
    where conversation.id = p_conversation_id and owner = 'bot'
        and question.created_at > now() - make_interval(secs => p_answer_within)
        and (not question.metadata ? 'kept' or question.metadata ? 'standby') and not exists (
            select from message where conversation_id = conversation.id and role <> 'user' and status not in ('FAILED', 'SUPERSEDED')
                and coalesce(reply_to, id) >= question.id)
$$;

-- The bot has the conversation again. What the customer wrote since the business last did is answered, once, if it is younger than
-- `p_answer_within` seconds: whoever asked while nobody looked still waits. Returns the tickets; null if it was not a person's or closed.
create function conversation_give_back_v1(p_id bigint, p_by text, p_answer_within float8) returns jsonb language plpgsql as $$
declare
    v_after       conversation;
    v_customer_id bigint;
begin
    update conversation set owner = 'bot', owner_since = clock_timestamp(), returns_at = null, return_after_minutes = null,
        handed_over_at = null, handover_reason = null, assigned_to = null
    where id = p_id and owner <> 'bot' and (p_by <> 'idle' or returns_at <= clock_timestamp()) returning * into v_after;
    if not found then
        return null;
    end if;
    select customer_id into v_customer_id from chatbot where id = v_after.chatbot_id;
    return job_follow_up(question_jobs_v1(p_id, p_answer_within), jsonb_build_array(owner_event_v1('conversation.returned',
        v_customer_id, v_after.chatbot_id, p_id, v_after.channel, v_after.external_user_id, 'bot', p_by)));
end $$;

-- ------------------------------------------------------------------------------ what customers do to earlier messages

-- With which debounce a message is answered: pictures that are sent together come one by one, and get one answer.
create function answer_debounce_v1(p_debounce_seconds real, p_is_picture boolean) returns real language sql immutable parallel safe as $$
    select greatest(p_debounce_seconds, case when p_is_picture then 3 end)
$$;

-- incoming-messages -> ai-processing, of a message with media. It waits for them for 10 s, unless media-fetch is through before
-- (answer_now_v1); what it does if they are not there by then is workers/ai.py's.
create function answer_after_media_v1(p_customer_id bigint, p_priority smallint, p_message_id bigint, p_conversation_id bigint,
                                      p_debounce_seconds real) returns jsonb language sql stable as $$
    select answer_job_v1(p_customer_id, p_priority, p_message_id, p_conversation_id, p_debounce_seconds)
        || jsonb_build_object('delay_seconds', greatest(p_debounce_seconds, 10))
$$;

-- The media of a message are there, or will never be: the conversation's next answer need not wait for them, only for its debounce.
-- Not while more of them are being fetched. Returns tickets.
create function answer_now_v1(p_conversation_id bigint, p_fetch_job_id bigint) returns jsonb language sql volatile as $$
    with hurried_answers as (
        update job set run_at = greatest(clock_timestamp(), question.created_at + make_interval(secs => answer_debounce_v1(
            chatbot.debounce_seconds,
            exists (select from media where media.message_id = question.id and media.kind in ('image', 'video')))))
        from message question join chatbot on chatbot.id = question.chatbot_id
        where job.queue = 'ai-processing' and job.ordering_key = p_conversation_id::text and job.closed_at is null
            and job.state = 'delayed' and job.attempts = 0 and question.id = job.message_id
            and not exists (select from job fetching where fetching.queue = 'media-fetch'
                and fetching.ordering_key = p_conversation_id::text and fetching.closed_at is null and fetching.id <> p_fetch_job_id)
        returning job.*
    )
    select coalesce(jsonb_agg(job_ticket(hurried_answers)) filter (where not held), '[]') from hurried_answers
$$;

-- A message's data with the words of the message that it replies to, as far as we have it; else what its channel says of it stays,
-- but of a message that was deleted, also before it came. Of a long reply, whose part it may be, the channel's words come first.
create function quoted_words_v5(p_chatbot_id bigint, p_channel text, p_external_user_id text, p_data jsonb) returns jsonb
language plpgsql stable as $$
declare
    v_id     text := p_data #>> '{quoted,id}';
    v_said   text := nullif(p_data #>> '{quoted,text}', '');
    v_quoted jsonb;
begin
    select jsonb_build_object('text', left(content, 1000), 'role', role) into v_quoted from (
        select case when revoked_at is null then content end as content, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'user'
        union all
        select case when revoked_at is null then coalesce(case when part_ids is not null then v_said end, content) end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'assistant'
        union all
        select case when revoked_at is null then content end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and role = 'agent'
        union all
        select case when revoked_at is null then coalesce(v_said, content) end, role from message
        where chatbot_id = p_chatbot_id and channel = p_channel and part_ids @> array[v_id]
    ) quoted limit 1;
    if v_quoted is null and exists (
        select from parked_change
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = v_id and content is null
            and is_same_person(p_chatbot_id, p_channel, names, array[p_external_user_id])) then
        return p_data #- '{quoted,text}';
    end if;
    return case when v_quoted is null then p_data when v_quoted ->> 'text' is null then p_data #- '{quoted,text}'
        else jsonb_set(p_data, '{quoted}', p_data -> 'quoted' || v_quoted) end;
end $$;

-- waiting, delayed, active -> delayed for a second: who answers a conversation reads it once more, for it has changed. What an
-- active one comes back with is refused, for its claim is over; and so is a claim that waits for this transaction, and has read the
-- conversation before it. Returns the tickets.
create function job_read_again(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job job;
begin
    update job set state = 'delayed', attempts = attempts - (state = 'active')::integer, lease_until = null, claimed_by = null,
        run_at = greatest(run_at, clock_timestamp() + interval '1 second')
    where id = p_id returning * into v_job;
    return case when v_job.held then '[]'::jsonb else jsonb_build_array(job_ticket(v_job)) end;
end $$;

-- Whether one of these names is one of those, or one person has both. No names: the channel did not say who it was, but which message.
create function is_same_person(p_chatbot_id bigint, p_channel text, p_names text[], p_others text[]) returns boolean
language sql stable as $$
    with names as (select contact_name_v1(p_channel, name) as name from unnest(p_names) name),
        others as (select contact_name_v1(p_channel, name) as name from unnest(p_others) name where name is not null)
    select p_names = '{}' or exists (select from names join others using (name)) or exists (
        select from contact_identity named join contact_identity other using (chatbot_id, family, contact_id)
        where chatbot_id = p_chatbot_id and family = contact_family_v1(p_channel)
            and named.name = any (array(select name from names)) and other.name = any (array(select name from others)))
$$;

-- What a message says that is not saved yet, after a change: the payload of its job.
create function payload_changed(p_payload jsonb, p_content text, p_data jsonb, p_at timestamptz) returns jsonb
language sql stable as $$
    select case when (p_payload ->> 'is_revoked')::boolean or p_content is not null
            and (p_payload ->> 'edited_at')::float8 > extract(epoch from p_at) then p_payload
        when p_content is null then p_payload || '{"may_answer": false, "is_revoked": true}'
        else p_payload || jsonb_build_object('content', p_content, 'edited_at', extract(epoch from p_at),
            'metadata', coalesce(p_payload -> 'metadata', '{}') - 'unsupported',
            'data', coalesce(p_payload -> 'data', '{}') || p_data) end
$$;

-- What its author deleted is quoted no more, by messages that are saved and by those that are not yet.
create function quotes_remove_v2(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text) returns void
language plpgsql as $$
begin
    if p_names = '{}' then
        update job set payload = payload #- '{data,quoted,text}'
        where queue = 'incoming-messages' and closed_at is null and id > 0 and payload #>> '{data,quoted,id}' = p_external_id
          and payload ->> 'chatbot_id' = p_chatbot_id::text and payload ->> 'channel' = p_channel;
    else
        update job set payload = payload #- '{data,quoted,text}'
        where queue = 'incoming-messages' and closed_at is null and payload #>> '{data,quoted,id}' = p_external_id
          and ordering_key = any (array(select p_chatbot_id || ':' || p_channel || ':' || name from unnest(p_names) name));
    end if;
    update message set data = message.data #- '{quoted,text}' from conversation
    where message.chatbot_id = p_chatbot_id and message.channel = p_channel and message.data ? 'quoted'
      and message.data #>> '{quoted,id}' = p_external_id and message.data #> '{quoted,text}' is not null
      and conversation.id = message.conversation_id
      and is_same_person(p_chatbot_id, p_channel, p_names, array[conversation.external_user_id, message.address]);
end $$;

-- Keeps a change of a message that has not come. False: it has come meanwhile, or was there all the time. Under the lock that is held by
-- whoever accepts this message, and waiting for nobody while it has it. What is kept once stays so: a deletion, or the newest text. Of a
-- chatbot's, 10,000 are kept: more than people change, whatever a gateway reports.
create function change_park(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text, p_data jsonb,
                            p_at timestamptz) returns boolean language plpgsql as $$
declare
    v_dedup_key text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
begin
    perform pg_advisory_xact_lock(hashtextextended(v_dedup_key, 1));
    if exists (select from job where dedup_key = v_dedup_key and closed_at is null) or exists (
        select from message
        where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'user') then
        return false;
    end if;
    insert into parked_change as parked (chatbot_id, channel, external_id, names, content, data, changed_at)
    select p_chatbot_id, p_channel, p_external_id, p_names, p_content, p_data, p_at
    where (select count(*) from (select from parked_change where chatbot_id = p_chatbot_id limit 10000) kept) < 10000
    on conflict (chatbot_id, channel, external_id) do update set
        content = excluded.content, data = excluded.data, changed_at = excluded.changed_at
        where parked.content is not null and (excluded.content is null or excluded.changed_at >= parked.changed_at);
    return true;
end $$;

-- A customer changed what an earlier message says (`p_content`, at `p_sent_at`), or deleted it (null). It is answered as it is now:
--   not come yet        the change is kept until it comes, where `p_is_kept` says so
--   not saved yet       what is saved is the new text
--   not answered yet    whoever answers it, or a later message with it, reads it once more
--   reply not left yet  the reply is superseded, and the message answered anew; or a later one with it, if that is not answered yet
--   reply left          stays as it is; the model reads the new text with the next message
-- A deleted message that nobody has answered is answered no more. `p_names`: of who did it; none where the channel did not say.
-- `p_marks`: of the message, by which one is known whose author was erased. Returns {outcome, tickets}:
--   changed, unchanged
--   kept      until it comes
--   unknown   it has not come and is not kept; or it is no customer's
--   foreign   it is another customer's
--   again     nothing has happened: it came at this moment, or somebody else was at work on the same rows; to be called again
-- What its customer deleted is quoted no more in any case. It waits for nobody longer than a tenth of a second, as contact_learn_v1:
-- a job in line is locked before its ordering key here, and by whoever ends the job before it behind the key.
create function message_change_v4(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text,
                                  p_data jsonb, p_sent_at float8, p_is_kept boolean, p_marks text[])
returns jsonb language plpgsql set lock_timeout = '100ms' as $$
declare
    v_at      timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_data    jsonb := coalesce(p_data, '{}');
    v_job     job;
    v_message message;
    v_reply   message;
    v_is_ours boolean;
    v_moved_to bigint;
    v_tickets jsonb := '[]';
begin
    -- `+ 0` below: the replies of this conversation are few, all newer ones of the index of reply_to are not.
    select * into v_job from job
    where dedup_key = md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text) and closed_at is null for update;
    if found then
        if not is_same_person(p_chatbot_id, p_channel, p_names, array(
                select v_job.payload ->> 'external_user_id'
                union all select jsonb_array_elements_text(coalesce(v_job.payload -> 'identities', '[]')))) then
            return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
        end if;
        update job set payload = payload_changed(payload, p_content, v_data, v_at) where id = v_job.id;
        return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
    end if;

    select message.* into v_message from message
    where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'user';
    if not found then
        v_is_ours := exists (
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'assistant'
            union all
            select from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'agent');
        if v_is_ours or exists (select from tombstone where mark = any (p_marks)) then
            return jsonb_build_object('outcome', 'unknown', 'tickets', v_tickets);
        end if;
        if p_content is null then
            perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
        end if;
        return jsonb_build_object('tickets', v_tickets, 'outcome', case when not p_is_kept then 'unknown'
            when change_park(p_chatbot_id, p_channel, p_names, p_external_id, p_content, v_data, v_at) then 'kept' else 'again' end);
    elsif not is_same_person(p_chatbot_id, p_channel, p_names, array[v_message.address, (
            select external_user_id from conversation where id = v_message.conversation_id)]) then
        return jsonb_build_object('outcome', 'foreign', 'tickets', v_tickets);
    elsif v_message.revoked_at is not null or v_message.content = p_content or v_message.edited_at > v_at then
        return jsonb_build_object('outcome', 'unchanged', 'tickets', v_tickets);
    end if;

    -- A reply may be saved, and go from one queue to the next, while its job's row is waited for.
    for v_round in 1..10 loop
        select * into v_reply from message
        where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id order by reply_to + 0 limit 1;
        if not found then
            -- By its message: of two that were in progress when conversations became one, each has kept its ordering key.
            select * into v_job from job
            where queue = 'ai-processing' and closed_at is null and state <> 'failed' and message_id = any (array(
                select id from message
                where conversation_id = v_message.conversation_id and id >= v_message.id and role not in ('assistant', 'agent')))
            order by message_id, id limit 1 for update;
            -- Once more: the row that was waited for may have got a later message.
            continue when not found and (v_round = 1 or exists (
                select from message where conversation_id = v_message.conversation_id and reply_to + 0 >= v_message.id));
            v_tickets := case when found then job_read_again(v_job.id) else v_tickets end;
        elsif v_reply.status = 'PENDING' then
            select * into v_job from job
            where message_id = v_reply.id and closed_at is null and state <> 'failed' order by id limit 1 for update;
            continue when not found and v_round < 10;
            if found and v_job.state <> 'active' and v_job.outcome_unknown_since is null and not v_reply.metadata ? 'parts_sent' then
                v_tickets := reply_withdraw(v_reply, v_job);
            end if;
        end if;
        exit;
    end loop;

    update message set updated_at = clock_timestamp(),
        content = coalesce(p_content, content), data = data || v_data,
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end,
        metadata = case when p_content is not null and metadata ? 'unsupported'
            then metadata - 'unsupported' || jsonb_build_object('attachment', metadata -> 'unsupported') else metadata end
    where id = v_message.id returning conversation_id into v_moved_to;
    if v_moved_to is distinct from v_message.conversation_id then
        raise lock_not_available; -- it was merged into another meanwhile, or is gone
    end if;
    if p_content is null then
        perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
    end if;
    return jsonb_build_object('outcome', 'changed', 'tickets', v_tickets);
exception when lock_not_available then
    return '{"outcome": "again", "tickets": []}';
end $$;

-- Somebody of the business changed on the phone what the business had said there (`p_content`, at `p_sent_at`), or deleted it (null):
-- what a colleague wrote, or a reply of the bot's. The model, and people, read what the customer reads now; what was said since stays,
-- but the words of what was deleted are quoted no more. A reply of several parts stays as it is, for only one of them was changed.
-- `p_names`: of the customer whose chat it is, as far as they were told; `p_marks`: of the message, by which one is known whose customer
-- was erased. Returns
--   changed
--   kept      the message has not come; the change is kept until it does
--   unknown   it is the customer's, was so before, or was erased
--   again     somebody else was at work on the same row; to be called again
-- Under the lock that is held by whoever accepts this message, so that neither misses the other.
create function own_message_change_v2(p_chatbot_id bigint, p_channel text, p_names text[], p_external_id text, p_content text,
                                      p_sent_at float8, p_marks text[])
returns text language plpgsql set lock_timeout = '100ms' as $$
declare
    v_at        timestamptz := coalesce(to_timestamp(p_sent_at), clock_timestamp());
    v_dedup_key text := md5(jsonb_build_array(p_chatbot_id, p_channel, p_external_id)::text);
begin
    perform pg_advisory_xact_lock(hashtextextended(v_dedup_key, 1));
    update job set payload = case when p_content is null then payload || '{"is_revoked": true}'
        else payload_changed(payload, p_content, '{}', v_at) end
    where dedup_key = v_dedup_key and closed_at is null and payload ->> 'author' = 'colleague';
    if found then
        return 'changed';
    end if;
    -- A part for each role, which has its own index.
    update message set updated_at = clock_timestamp(), content = coalesce(p_content, content),
        edited_at = case when p_content is null then edited_at else v_at end,
        revoked_at = case when p_content is null then v_at end
    where id = any (array(
            select id from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'agent'
            union all
            select id from message
            where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id and role = 'assistant'))
      and revoked_at is null and content is distinct from p_content and not coalesce(edited_at > v_at, false)
      and not metadata ? 'parts_sent';
    if found then
        if p_content is null then
            perform quotes_remove_v2(p_chatbot_id, p_channel, p_names, p_external_id);
        end if;
        return 'changed';
    elsif exists (select from job where dedup_key = v_dedup_key and closed_at is null)
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'agent')
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'assistant')
        or exists (select from message where chatbot_id = p_chatbot_id and channel = p_channel and external_id = p_external_id
                       and role = 'user')
        or exists (select from tombstone where mark = any (p_marks)) then
        return 'unknown';
    end if;
    insert into parked_change as parked (chatbot_id, channel, external_id, names, content, changed_at, by_colleague)
    select p_chatbot_id, p_channel, p_external_id, p_names, p_content, v_at, true
    where (select count(*) from (select from parked_change where chatbot_id = p_chatbot_id limit 10000) kept) < 10000
    on conflict (chatbot_id, channel, external_id) do update set
        names = excluded.names, content = excluded.content, changed_at = excluded.changed_at, by_colleague = true
        where parked.content is not null and (excluded.content is null or excluded.changed_at >= parked.changed_at);
    return 'kept';
exception when lock_not_available then
    return 'again';
end $$;

-- A reply that has not left, and whose job the caller has locked, leaves no more; its question is answered anew. Its tokens stay
-- booked. Returns the tickets.
create function reply_withdraw(p_reply message, p_job job) returns jsonb language plpgsql as $$
declare
    v_next    bigint;
    v_tickets jsonb := '[]';
begin
    select id into v_next from job
    where queue = 'ai-processing' and ordering_key = p_reply.conversation_id::text and closed_at is null
      and message_id > p_reply.reply_to and state <> 'failed' order by id limit 1 for update;
    update message set status = 'SUPERSEDED', reply_to = null, updated_at = clock_timestamp(),
        metadata = metadata || jsonb_build_object('superseded_by', 'edit', 'question_id', p_reply.reply_to)
    where id = p_reply.id;
    perform job_lock(p_job.queue, array[p_job.ordering_key]);
    update job set state = 'completed', closed_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
        held = false, run_at = null
    where id = p_job.id;
    v_tickets := case when p_job.held then '[]'::jsonb else job_unhold_next(p_job.queue, array[p_job.ordering_key]) end;
    if v_next is not null then
        return v_tickets || job_read_again(v_next);
    end if;
    return v_tickets || (
        select job_add_v1(jsonb_build_array(
            answer_job_v1(customer.id, customer.priority, p_reply.reply_to, p_reply.conversation_id, 0)))
        from chatbot join customer on customer.id = chatbot.customer_id where chatbot.id = p_reply.chatbot_id);
end $$;

-- ------------------------------------------------------------------------------------------------- readiness

-- One row, written by each /readyz: it says ok only while PostgreSQL takes writes.
create table readiness (
    id         smallint primary key check (id = 1),
    checked_at timestamptz not null
);

-- ------------------------------------------------------------------------------------------------ channels' health

-- What jobs of an account that cannot send wait for (job.waits_for).
create function channel_account_v1(p_channel text, p_chatbot_id bigint) returns text language sql immutable as $$
    select p_channel || ' ' || p_chatbot_id
$$;

create function channel_is_down_v1(state text) returns boolean language sql immutable parallel safe as $$
    select state not in ('ok', 'degraded')
$$;

-- What a send reads of its account's health, and when: {is_down, reason, probe_is_due, slow_for (seconds), read_at}.
create function channel_health_v1(p_channel text, p_chatbot_id bigint) returns jsonb language sql volatile as $$
    select jsonb_build_object('is_down', coalesce(channel_is_down_v1(state), false), 'reason', reason,
        'probe_is_due', coalesce(probe_at <= clock_timestamp(), false),
        'slow_for', extract(epoch from slow_until - clock_timestamp()), 'read_at', clock_timestamp())
    from (select) once left join channel_health on chatbot_id = p_chatbot_id and channel = p_channel
$$;

-- Moves an account to another state, tells its business's endpoints (channel.down, channel.up), and releases what waited for it. What
-- is older than the last move (`p_at`: when it was seen) changes nothing. `p_calls`: 1 if a call found it so, which may be repeated
-- after p_pauses[calls + 1] seconds. `p_data`: what the event says besides. Returns {has_changed, tickets}.
create function channel_set_state_v1(p_channel text, p_chatbot_id bigint, p_state text, p_reason text, p_detail text,
                                     p_at timestamptz, p_calls integer, p_pauses float8[], p_pace float8, p_data jsonb)
returns jsonb language plpgsql as $$
declare
    v_old     channel_health;
    v_new     channel_health;
    v_calls   integer;
    v_tickets jsonb := '[]';
begin
    insert into channel_health (chatbot_id, channel, since) select id, p_channel, p_at from chatbot where id = p_chatbot_id
    on conflict do nothing;
    select * into v_old from channel_health where chatbot_id = p_chatbot_id and channel = p_channel for update;
    v_calls := p_calls + case when v_old.state = p_state then v_old.calls else 0 end;
    if p_at < v_old.since then
        -- A call that was under way when another one found out. Or it is older than a new token.
        update channel_health set calls = calls + p_calls where chatbot_id = p_chatbot_id and channel = p_channel
            and channel_is_down_v1(state);
        return jsonb_build_object('has_changed', false, 'tickets', '[]'::jsonb);
    end if;
    update channel_health set state = p_state, reason = p_reason, detail = p_detail,
        since = case when state <> p_state then clock_timestamp() when state = 'ok' then p_at else since end,
        calls = case when channel_is_down_v1(p_state) then v_calls else 0 end,
        probe_at = case when channel_is_down_v1(p_state) then clock_timestamp() + make_interval(secs => p_pauses[v_calls + 1]) end
    where chatbot_id = p_chatbot_id and channel = p_channel returning * into v_new;
    if v_new.state <> v_old.state and (channel_is_down_v1(v_new.state) or channel_is_down_v1(v_old.state)) then
        v_tickets := webhook_emit(jsonb_build_array(channel_event_v1(
            case when channel_is_down_v1(v_new.state) then 'channel.down' else 'channel.up' end,
            (select customer_id from chatbot where id = p_chatbot_id), p_chatbot_id, p_channel,
            jsonb_build_object('state', v_new.state, 'reason', v_new.reason, 'since', v_new.since) || p_data)));
    end if;
    if channel_is_down_v1(v_old.state) and not channel_is_down_v1(v_new.state) then
        v_tickets := v_tickets || job_release_v1(channel_account_v1(p_channel, p_chatbot_id), p_pace);
    end if;
    return jsonb_build_object('has_changed', v_new.state <> v_old.state, 'tickets', v_tickets);
end $$;

-- --------------------------------------------------------------------------------------- the desk's people

create table app_user (
    id             bigint generated always as identity primary key,
    -- Null: an operator, who works for all customers.
    customer_id    bigint references customer on delete cascade,
    role           text not null check (role in ('agent', 'owner', 'operator')),
    email          text not null unique check (email = lower(email) and email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 254), -- personal data
    name           text not null check (name <> '' and length(name) <= 200), -- personal data
    -- Null: not chosen yet; a link lets its owner choose it.
    password_hash  text check (password_hash like '$argon2id$%'),
    language       text check (language ~ '^[a-z]{2}$'), -- null: the browser's
    -- Whether an operator may read what customers and chatbots wrote; the others always may.
    can_read_texts boolean not null default false,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    disabled_at    timestamptz,
    check ((role = 'operator') = (customer_id is null)),
    check (role = 'operator' or not can_read_texts)
);
create index app_user_customer_idx on app_user (customer_id, id);

-- E-mails to owners about an endpoint that will be, or was, disabled; each until the mail server has taken it (shared/webhooks/notices.py).
create table endpoint_notice (
    id          bigint generated always as identity primary key,
    endpoint_id bigint not null references webhook_endpoint on delete cascade,
    user_id     bigint not null references app_user on delete cascade,
    state       text not null check (state in ('failing', 'disabled')),
    disables_at timestamptz not null,
    attempts    smallint not null default 0 check (attempts >= 0),
    due_at      timestamptz not null default now(),
    created_at  timestamptz not null default now(),
    unique (endpoint_id, user_id, state)
);
create index endpoint_notice_due_idx on endpoint_notice (due_at);
create index endpoint_notice_user_idx on endpoint_notice (user_id);

-- One browser that is logged in. Only the SHA-256 of what its cookie holds is stored.
create table user_session (
    id         bigint generated always as identity primary key,
    user_id    bigint not null references app_user on delete cascade,
    hash       text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    address    text not null, -- personal data
    agent      text not null check (length(agent) <= 300), -- personal data; the browser's own words
    created_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);
create index user_session_user_idx on user_session (user_id);

-- A link that lets its holder choose a password, once. The newest of a user is the only one that works.
create table user_link (
    id         bigint generated always as identity primary key,
    kind       text not null check (kind in ('first_operator', 'invitation', 'reset')),
    user_id    bigint references app_user on delete cascade,
    hash       text not null unique check (hash ~ '^[0-9a-f]{64}$'),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    check ((kind = 'first_operator') = (user_id is null))
);
create index user_link_user_idx on user_link (user_id);

-- What people changed, and which texts an operator read. Never the texts themselves, and no secrets.
create table audit_entry (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    user_id     bigint references app_user on delete set null, -- null: a command
    customer_id bigint references customer on delete cascade, -- null: it concerns no single one
    action      text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
    subject     text not null check (subject <> ''),
    subject_id  bigint,
    details     jsonb not null default '{}'
);
-- The first word of an action, by which pages show some kinds alone; rare ones are found among all others by their indexes.
create function audit_kind_v1(p_action text) returns text language sql immutable parallel safe as $$
    select split_part(p_action, '.', 1)
$$;
create index audit_entry_kind_idx on audit_entry (audit_kind_v1(action), id);
create index audit_entry_customer_kind_idx on audit_entry (customer_id, audit_kind_v1(action), id);
create index audit_entry_customer_idx on audit_entry (customer_id, id);
create index audit_entry_user_idx on audit_entry (user_id, id);
create index audit_entry_look_idx on audit_entry (user_id, subject, at) where action = 'texts.read';

-- ------------------------------------------------------------------------------------------- operators' verbs
--
-- What an operator does to a job by hand (shared/jobs/operator.py). Neither waits for a row that a worker has locked: the
-- job is 'busy' then. They lock the job, then its message, then its ordering key, as dead letters do. A job in front of it,
-- whose end takes the ordering key first, never waits for a failed one (job_unhold_next).

-- The ordering key of a conversation's jobs, where that has become a part of another one since they were added; others stay as they are.
create function ordering_key_now(p_key text) returns text language sql stable as $$
    select coalesce((select conversation_id::text from merged_conversation
                     where id = case when p_key ~ '^[0-9]{1,18}$' then p_key::bigint end), p_key)
$$;

-- failed -> waiting, as if it were new, behind an open job of its ordering key. What its dead letter wrote to its message
-- or event, if it ran already, is taken back, so that the stage does its work again. Returns
-- {outcome: 'requeued', held, ticket}; or why not: {outcome: 'gone' | 'busy' | 'answered' | 'redelivered' | the job's state}.
create function job_requeue_v2(p_id bigint) returns jsonb language plpgsql as $$
declare
    v_job     job;
    v_refusal text;
    v_key     text;
begin
    select * into v_job from job where id = p_id for update skip locked;
    v_refusal := case
        when not found then (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id)
        when v_job.state <> 'failed' then v_job.state
        -- A question has one reply: the fallback message, if nothing else.
        when v_job.queue = 'ai-processing' and exists (select from message where reply_to = v_job.message_id) then 'answered'
        when v_job.webhook_event_id is not null and v_job.closed_at is not null and not exists (
            select from webhook_event where id = v_job.webhook_event_id and status = 'FAILED') then 'redelivered' end;
    if v_refusal is not null then
        return jsonb_build_object('outcome', v_refusal);
    end if;
    update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
    where id = v_job.message_id and status = 'FAILED';
    update webhook_event set status = 'PENDING', error = null, response_status = null
    where id = v_job.webhook_event_id and status = 'FAILED';
    loop -- a merger that was under way has renamed open jobs only; one that comes later waits for this lock
        v_key := ordering_key_now(v_job.ordering_key);
        perform job_lock(v_job.queue, array[v_key]);
        exit when v_key is not distinct from ordering_key_now(v_job.ordering_key);
    end loop;
    -- The clock of its maximum age begins anew; the fence (claims) goes on. Whoever requeues a send of unknown outcome wants it
    -- sent.
    update job j set state = 'waiting', created_at = clock_timestamp(), started_at = null, closed_at = null,
        attempts = 0, lost_claims = 0, outcome_unknown_since = null, last_error = null, last_traceback = null, ordering_key = v_key,
        payload = case when v_key is distinct from ordering_key and payload ? 'conversation_id'
            then payload || jsonb_build_object('conversation_id', v_key::bigint) else payload end,
        held = v_key is not null and exists (
            select from job head where head.queue = j.queue and head.ordering_key = v_key
                                   and head.closed_at is null and not head.held and head.id <> p_id)
    where id = p_id returning * into v_job;
    return jsonb_build_object('outcome', 'requeued', 'held', v_job.held, 'ticket', job_ticket(v_job));
end $$;

-- waiting, delayed, failed -> failed for this reason; a held job stays held. Its dead letter, for which the caller asks next,
-- closes it and lets its ordering key go on. Returns 'discarded'; or why not: 'gone', 'busy' or the job's state.
create function job_discard_v1(p_id bigint, p_reason text) returns text language plpgsql as $$
declare
    v_job job;
begin
    select * into v_job from job where id = p_id for update skip locked;
    if not found then
        return (select case when count(*) = 0 then 'gone' else 'busy' end from job where id = p_id);
    elsif v_job.state not in ('waiting', 'delayed', 'failed') then
        return v_job.state;
    end if;
    update job set state = 'failed', run_at = null, last_traceback = null,
        last_error = concat_ws('; it had failed: ', p_reason, case when state = 'failed' then last_error end)
    where id = p_id and not (state = 'failed' and starts_with(last_error, p_reason));
    return 'discarded';
end $$;

-- ------------------------------------------------------------------------------------------------------ operations
--
-- What operators look at and act upon (shared/operations/).

-- Something done to many rows, at a pace, that survives whoever does it: a replay of dead letters, a recovery of webhook events.
-- One runner (workers/maintenance.py) takes a step of each at a time; the step, `position` and `counts` commit together.
create table bulk_action (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind ~ '^[a-z_]+$'), -- which step: STEPS in workers/maintenance.py
    name        text,
    customer_id bigint references customer on delete cascade, -- whose rows alone; null: anybody's, an operator began it
    -- Which rows, frozen: what came, or failed again, after `until` is not meant.
    filter      jsonb not null check (jsonb_typeof(filter) = 'object'),
    until       timestamptz not null default now(),
    total       integer not null check (total >= 0), -- how many matched when it began
    counts      jsonb not null default '{}' check (jsonb_typeof(counts) = 'object'), -- how many by what became of them
    pace        real not null check (pace > 0), -- rows in a second
    position    bigint not null default 0, -- the id of the last row that is done
    stepped_at  timestamptz not null default now(),
    state       text not null default 'running' check (state in ('running', 'stopped', 'done')),
    created_by  text not null check (created_by <> ''),
    created_at  timestamptz not null default now(),
    stopped_by  text,
    finished_at timestamptz,
    check ((state = 'running') = (finished_at is null)),
    check ((state = 'stopped') = (stopped_by is not null))
);
create index bulk_action_running_idx on bulk_action (id) where state = 'running';
create index bulk_action_customer_idx on bulk_action (customer_id, id desc);

-- A job that failed for good. The job's record is pruned after a day; this row stays for KEEP_DEAD_LETTERS_DAYS. No texts of
-- messages: an error is in our words.
create table dead_letter (
    id               bigint generated always as identity primary key,
    job_id           bigint not null unique, -- its record may be gone
    queue            text not null,
    channel          text,
    -- Failures are grouped by it: a code of ours (shared/channels/outcomes.py), or one that the error's text says (dead_letter_code).
    error_code       text not null check (error_code <> ''),
    error            text not null,
    customer_id      bigint references customer on delete cascade,
    -- What it was about; no foreign keys, for it outlives them.
    chatbot_id       bigint,
    conversation_id  bigint,
    message_id       bigint,
    webhook_event_id bigint,
    endpoint_id      bigint,
    attempts         integer not null check (attempts >= 0),
    outcome_unknown  boolean not null, -- a send that may have arrived
    failures         integer not null default 1 check (failures > 0), -- how often, with replays
    began_at         timestamptz not null,
    failed_at        timestamptz not null default now(),
    -- open      somebody has to decide
    -- replayed  its work was given out once more
    -- answered  a person has answered since, or it arrived after all: nothing is left to do
    -- ignored   an operator wants no more of it
    state            text not null default 'open' check (state in ('open', 'replayed', 'answered', 'ignored')),
    changed_by       text,
    changed_at       timestamptz,
    bulk_action_id   bigint references bulk_action on delete set null,
    check ((state = 'open') = (changed_at is null))
);
create index dead_letter_open_idx on dead_letter (queue, error_code, id) where state = 'open';
create index dead_letter_newest_idx on dead_letter (id) where state = 'open';
create index dead_letter_customer_idx on dead_letter (customer_id, id);
create index dead_letter_message_idx on dead_letter (message_id) where message_id is not null;
create index dead_letter_action_idx on dead_letter (bulk_action_id) where bulk_action_id is not null;
create index dead_letter_failed_idx on dead_letter (failed_at);

-- What an error's text says about its kind, where there is no code: an HTTP status, or the error's class.
create function dead_letter_code(p_error text) returns text language sql immutable parallel safe as $$
    select case
        when p_error like 'poison:%' then 'poison'
        when p_error like 'bad payload:%' then 'bad_payload'
        when p_error like 'outcome unknown%' then 'outcome_unknown'
        when p_error like 'deleted by an operator%' then 'deleted'
        when p_error ~ 'HTTP [1-5][0-9][0-9]' then 'http_' || substring(p_error from 'HTTP ([1-5][0-9][0-9])')
        when p_error ~ '^[A-Z][A-Za-z]+: ' then lower(regexp_replace(substring(p_error from '^([A-Za-z]+): '),
            '([a-z])([A-Z])', '\1_\2', 'g'))
        else 'other' end
$$;

-- Jobs that fail for good become dead letters when they are closed (job_close_failed_v1), whoever closes them. One that was replayed
-- and fails again is the same dead letter. Not the job of a webhook event that is tried again by itself: that is not given up.
create function job_died() returns trigger language plpgsql as $$
begin
    if new.webhook_event_id is not null and exists (
        select from webhook_event where id = new.webhook_event_id and next_attempt_at is not null) then
        return null;
    end if;
    insert into dead_letter as letter (job_id, queue, channel, error_code, error, customer_id, chatbot_id, conversation_id, message_id,
        webhook_event_id, endpoint_id, attempts, outcome_unknown, began_at, failed_at)
    select new.id, new.queue, coalesce(message.channel, left(new.payload ->> 'channel', 50)),
        coalesce(case when starts_with(message.error, new.last_error) then message.metadata ->> 'error_code' end,
            dead_letter_code(new.last_error)), new.last_error,
        (select id from customer where id = new.customer_id),
        coalesce(message.chatbot_id, substring(new.payload ->> 'chatbot_id' from '^[0-9]{1,18}$')::bigint), message.conversation_id,
        new.message_id, new.webhook_event_id, (select endpoint_id from webhook_event where id = new.webhook_event_id), new.attempts,
        new.outcome_unknown_since is not null, coalesce(new.started_at, new.created_at), new.closed_at
    from (select) once left join message on message.id = new.message_id
    on conflict (job_id) do update set state = 'open', changed_by = null, changed_at = null, failures = letter.failures + 1,
        error_code = excluded.error_code, error = excluded.error, attempts = excluded.attempts,
        outcome_unknown = excluded.outcome_unknown, failed_at = excluded.failed_at;
    return null;
end $$;
create trigger job_died after update of closed_at on job
    for each row when (new.state = 'failed' and new.closed_at is not null and old.closed_at is null) execute function job_died();

-- What would become of a dead letter that is replayed now: 'ready'; or why not. Not yet, or never:
-- done           it is no open dead letter any more       delivered     it arrived after all, or its question was answered
-- under_way      another job is at it                     answered      a person has answered since, or has the conversation
-- outcome_unknown it may have arrived (unless p_unknown)  closed        its conversation was closed
-- window_closed  WhatsApp's 24 hours are over             gone          what it was about, or the record of its job
-- channel_down   its account cannot send                  endpoint_off  its endpoint was switched off
-- not_repeatable its owner repeats it elsewhere
create function dead_letter_verdict_v2(p_id bigint, p_unknown boolean) returns text language plpgsql stable as $$
declare
    v_letter       dead_letter;
    v_job          job;
    v_event        webhook_event;
    v_message      message;
    v_conversation conversation;
    v_reply        message;
begin
    select * into v_letter from dead_letter where id = p_id;
    if v_letter.state <> 'open' then
        return 'done';
    end if;
    select * into v_job from job where id = v_letter.job_id;
    if v_job.state <> 'failed' then
        return 'under_way';
    end if;
    if v_letter.queue = 'webhook-delivery' then
        select * into v_event from webhook_event where id = v_letter.webhook_event_id;
        return case when v_event.id is null then 'gone' when v_event.status = 'DELIVERED' then 'delivered'
            when v_event.status <> 'FAILED' then 'under_way'
            when not (select active from webhook_endpoint where id = v_event.endpoint_id) then 'endpoint_off' else 'ready' end;
    end if;
    select * into v_message from message where id = v_letter.message_id;
    if v_letter.queue = 'incoming-messages' then
        return case when v_message.id is not null then 'delivered' when v_job.id is null then 'gone' else 'ready' end;
    elsif v_letter.queue not in ('ai-processing', 'outgoing-messages') and not exists (select from channel where send_queue = v_letter.queue) then
        return 'not_repeatable';
    elsif v_message.id is null or v_message.revoked_at is not null then
        return 'gone';
    end if;
    select * into v_conversation from conversation where id = v_message.conversation_id;
    if v_letter.queue = 'ai-processing' then
        select * into v_reply from message where reply_to = v_message.id;
        if not v_reply.metadata ? 'fallback' then
            return case when v_reply.status = 'SUPERSEDED' then 'answered' else 'delivered' end;
        end if;
    elsif v_message.status <> 'FAILED' then
        return case v_message.status when 'PENDING' then 'under_way' when 'SUPERSEDED' then 'answered' else 'delivered' end;
    elsif v_letter.outcome_unknown and not p_unknown then
        return 'outcome_unknown';
    end if;
    return case
        when v_conversation.owner = 'closed' then 'closed'
        when v_message.metadata ? 'superseded_by' then 'answered'
        -- The bot itself has handed it over with its fallback, and nobody has come yet: it may still answer.
        when v_letter.queue = 'ai-processing' and v_conversation.owner = 'person' and v_conversation.handed_over_at is null then 'answered'
        when v_letter.queue <> 'ai-processing' and not reply_may_leave_v2(v_message.reply_to, v_message.created_at, v_conversation.owner,
            v_conversation.owner_since, v_conversation.handed_over_at) then 'answered'
        when (v_letter.queue = 'ai-processing' or v_message.reply_to is not null) and exists (
            select from message later where later.conversation_id = v_conversation.id and later.id > v_message.id
                and later.role <> 'user' and later.reply_to is null and not later.metadata ?| '{fallback,superseded_by}'
                and later.status not in ('FAILED', 'SUPERSEDED')) then 'answered'
        when v_message.channel = 'whatsapp_cloud' and v_conversation.window_ends_at <= now() and not v_message.data ? 'template'
            then 'window_closed'
        when exists (select from channel_health health where health.chatbot_id = v_message.chatbot_id
            and health.channel = v_message.channel and channel_is_down_v1(health.state)) then 'channel_down'
        else 'ready' end;
end $$;

-- Replays a dead letter: its job runs again as if it were new (job_requeue_v2), or a new one does where its record was pruned. A
-- question that got the fallback message is asked again: the fallback stays what the customer read, and is no answer any more. Returns
-- {outcome, tickets}; the outcome is 'replayed', 'busy', or the verdict.
create function dead_letter_replay_v4(p_id bigint, p_unknown boolean, p_by text, p_action_id bigint) returns jsonb
language plpgsql as $$
declare
    v_letter  dead_letter;
    v_job     job;
    v_message message;
    v_verdict text;
    v_requeued jsonb;
    v_tickets jsonb := '[]';
begin
    select * into v_letter from dead_letter where id = p_id for update;
    select * into v_job from job where id = v_letter.job_id for update skip locked;
    if not found and exists (select from job where id = v_letter.job_id) then
        return '{"outcome": "busy", "tickets": []}';
    end if;
    -- At this moment its event may be resent, or a person come, from whom the conversation would be taken.
    perform from webhook_event where id = v_letter.webhook_event_id for no key update;
    select * into v_message from message where id = v_letter.message_id for no key update;
    if v_letter.queue = 'ai-processing' then
        perform from conversation where id = v_message.conversation_id for no key update;
    end if;
    v_verdict := dead_letter_verdict_v2(p_id, p_unknown);
    if v_verdict in ('delivered', 'answered') then
        update dead_letter set state = 'answered', changed_by = p_by, changed_at = clock_timestamp(), bulk_action_id = p_action_id
        where id = p_id;
    end if;
    if v_verdict <> 'ready' then
        return jsonb_build_object('outcome', v_verdict, 'tickets', v_tickets);
    end if;
    if v_letter.queue = 'ai-processing' then
        update message set reply_to = null, updated_at = clock_timestamp(),
            metadata = metadata || jsonb_build_object('superseded_by', 'replay', 'question_id', v_letter.message_id),
            status = case when status = 'PENDING' and not exists (
                select from job where job.message_id = message.id and closed_at is null
                    and (state = 'active' or outcome_unknown_since is not null)) then 'SUPERSEDED' else status end
        where reply_to = v_letter.message_id;
        v_tickets := coalesce(conversation_give_back_v1(v_message.conversation_id, 'operator', 0), '[]');
    end if;
    if v_job.id is not null then
        v_requeued := job_requeue_v2(v_job.id);
        if v_requeued ->> 'outcome' <> 'requeued' then
            raise exception 'dead letter %: its job is %', p_id, v_requeued ->> 'outcome';
        end if;
        v_tickets := v_tickets || case when (v_requeued ->> 'held')::boolean then '[]' else jsonb_build_array(v_requeued -> 'ticket') end;
    else
        update message set status = 'PENDING', error = null, updated_at = clock_timestamp()
        where id = v_letter.message_id and status = 'FAILED';
        update webhook_event set status = 'PENDING', error = null, response_status = null where id = v_letter.webhook_event_id;
        v_tickets := v_tickets || job_add_v1(jsonb_build_array(case v_letter.queue
            when 'webhook-delivery' then delivery_job_v1(v_letter.customer_id, v_letter.webhook_event_id)
            when 'ai-processing' then answer_job_v1(v_letter.customer_id,
                (select priority from customer where id = v_letter.customer_id), v_message.id, v_message.conversation_id, 0)
            when 'outgoing-messages' then outgoing_job_v1(v_letter.customer_id, v_message.id, v_message.conversation_id, v_message.channel)
            else send_job_v1(v_letter.queue, v_letter.customer_id, v_message.id, v_message.conversation_id) end));
        -- If the new job fails, it is the same dead letter.
        select coalesce(max(id), (v_tickets -> -1 ->> 'id')::bigint) into v_job.id from job
        where message_id = v_message.id and queue = v_letter.queue and closed_at is null;
    end if;
    update dead_letter set state = 'replayed', changed_by = p_by, changed_at = clock_timestamp(), bulk_action_id = p_action_id,
        job_id = v_job.id
    where id = p_id;
    return jsonb_build_object('outcome', 'replayed', 'tickets', v_tickets);
end $$;

-- What is not worked on for now: its jobs are parked when a worker has claimed them (shared/jobs/pauses.py), in the order in which they
-- came. A pause is of a queue, of a chatbot, of a customer, or, with queue and chatbot, of a chatbot's account on a channel.
create table pause (
    id          bigint generated always as identity primary key,
    queue       text check (queue <> ''),
    chatbot_id  bigint references chatbot on delete cascade,
    customer_id bigint references customer on delete cascade,
    reason      text,
    created_by  text not null check (created_by <> ''),
    created_at  timestamptz not null default now(),
    check (num_nonnulls(queue, chatbot_id, customer_id) > 0)
);
create unique index pause_subject_idx on pause (coalesce(queue, ''), coalesce(chatbot_id, 0), coalesce(customer_id, 0));

-- How the jobs of a pause that has ended leave, while some are still parked: whoever releases more of them, as whoever ended it and the
-- sweep may do at the same time, goes on where the last one stopped.
create table pause_release (
    pause_id bigint primary key,  -- no reference: that pause is over
    pace     float8 not null check (pace > 0),  -- jobs in a second
    next_at  timestamptz not null -- when the next one leaves
);

-- Releases some jobs of a pause that has ended, oldest first, at its pace (`p_pace` where it has none yet), as if they had come now: the
-- time of the pause makes none too old. Returns the tickets; none are left when they are less than `p_limit`. Who parks a job locks the
-- pause's row, so none is parked behind the end.
create function pause_release_v2(p_id bigint, p_pace float8, p_limit integer) returns jsonb language plpgsql as $$
declare
    v_plan    pause_release;
    v_tickets jsonb;
begin
    insert into pause_release values (p_id, p_pace, clock_timestamp()) on conflict do nothing;
    select * into v_plan from pause_release where pause_id = p_id for update;
    if not found then -- at this moment somebody else released the last one
        return '[]';
    end if;
    with parked_jobs as materialized (
        select id, queue, ordering_key from job
        where waits_for = 'pause ' || p_id and closed_at is null and state = 'delayed' order by id limit p_limit for update skip locked
    ), numbered_jobs as materialized (
        select id, row_number() over (order by id) - 1 as place from parked_jobs
    ), released_jobs as (
        update job j set waits_for = null, created_at = clock_timestamp(), started_at = case when attempts > 0 then started_at end,
            run_at = greatest(clock_timestamp(), v_plan.next_at + make_interval(secs => place / v_plan.pace))
        from numbered_jobs where j.id = numbered_jobs.id returning job_ticket(j) as ticket
    ), jobs_in_line as (
        update job behind set created_at = clock_timestamp() from parked_jobs
        where behind.queue = parked_jobs.queue and behind.ordering_key = parked_jobs.ordering_key and behind.closed_at is null
            and behind.held
    )
    select coalesce(jsonb_agg(ticket), '[]'::jsonb) into v_tickets from released_jobs;
    if jsonb_array_length(v_tickets) < p_limit then
        delete from pause_release where pause_id = p_id;
    else
        update pause_release set next_at = next_at + make_interval(secs => p_limit / pace) where pause_id = p_id;
    end if;
    return v_tickets;
end $$;

-- How much each queue did, and how long its jobs waited before they began, by minute: job records are gone after an hour. Filled by
-- workers/maintenance.py for minutes that are over, kept for two days.
create table queue_minute (
    queue        text not null,
    minute       timestamptz not null,
    completed    integer not null check (completed >= 0),
    failed       integer not null check (failed >= 0),
    wait_seconds real not null check (wait_seconds >= 0), -- of all of them together
    longest_wait real not null check (longest_wait >= 0),
    primary key (minute, queue)
);

-- ------------------------------------------------------------------------------------------------- the desk's inbox

alter table conversation add constraint conversation_assigned_to_fkey foreign key (assigned_to) references app_user on delete set null;

-- What colleagues tell each other in a conversation; customers and models never see it.
create table conversation_note (
    id              bigint generated always as identity primary key,
    conversation_id bigint not null references conversation on delete cascade,
    user_id         bigint references app_user on delete set null,
    author          text not null check (author <> '' and length(author) <= 200), -- personal data; the name of then
    content         text not null check (content <> '' and length(content) <= 10000), -- personal data
    created_at      timestamptz not null default now(),
    -- Of the desk's form: the same key in the same conversation is the same note.
    idempotency_key text check (length(idempotency_key) <= 200)
);
create index conversation_note_idx on conversation_note (conversation_id, id);

-- Answers that a business's people use often: `/hours` in the composer.
create table quick_reply (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customer on delete cascade,
    shortcut    text not null check (shortcut ~ '^[a-z0-9_-]{1,40}$'),
    content     text not null check (content <> '' and length(content) <= 4000),
    updated_at  timestamptz not null default now(),
    unique (customer_id, shortcut)
);

-- Somebody takes a conversation, or gives it to a colleague (`p_user_id`). Not from another one, unless that is the one who gives
-- (`p_from`). `p_by`: desk or api. `p_minutes`: as of conversation_take_over_v1. Returns {tickets}, or {taken_by: user} where somebody
-- was faster.
create function conversation_take_v2(p_id bigint, p_user_id bigint, p_from bigint, p_by text, p_minutes integer) returns jsonb
language plpgsql as $$
declare
    v_before  conversation;
    v_tickets jsonb;
begin
    select * into v_before from conversation where id = p_id for no key update;
    if v_before.assigned_to is not null and v_before.assigned_to not in (p_user_id, coalesce(p_from, p_user_id)) then
        return jsonb_build_object('taken_by', v_before.assigned_to);
    end if;
    v_tickets := conversation_take_over_v1(p_id, 'person', p_by, p_minutes);
    update conversation set assigned_to = p_user_id where id = p_id;
    if v_before.owner = 'person' and v_before.handed_over_at is null -- of that conversation_take_over_v1 tells nobody
        and v_before.assigned_to is distinct from p_user_id then
        select webhook_emit(jsonb_build_array(owner_event_v1('conversation.assigned', chatbot.customer_id, chatbot.id, p_id,
            v_before.channel, v_before.external_user_id, 'person', p_by, conversation.returns_at))) into v_tickets
        from conversation join chatbot on chatbot.id = conversation.chatbot_id where conversation.id = p_id;
    end if;
    return jsonb_build_object('tickets', v_tickets);
end $$;
