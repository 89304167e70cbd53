-- Items of knowledge have a language of their own, a link, a switch and their times.

-- The languages whose words PostgreSQL can stem (to_tsvector), and 'simple' for all others: words as they are.
create function knowledge_language_is_known(language text) returns boolean language sql immutable parallel safe as $$
    select language in ('simple', 'english', 'german', 'spanish', 'portuguese', 'french', 'italian', 'dutch', 'arabic', 'danish',
        'finnish', 'greek', 'hungarian', 'norwegian', 'romanian', 'russian', 'swedish', 'turkish')
$$;

alter table knowledge_base drop constraint knowledge_base_language_check,
    add constraint knowledge_base_language_check check (knowledge_language_is_known(language)) not valid;
alter table knowledge_base validate constraint knowledge_base_language_check;

alter table knowledge_item
    drop constraint knowledge_item_knowledge_base_id_language_fkey,
    add constraint knowledge_item_knowledge_base_id_fkey foreign key (knowledge_base_id) references knowledge_base
        on delete cascade not valid,
    add constraint knowledge_item_language_check check (knowledge_language_is_known(language)) not valid,
    add column is_active boolean not null default true,
    add column url text check (url_is_normalized(url) and length(url) <= 2000),
    add column show_link boolean not null default true,
    add column created_at timestamptz not null default now(),
    add column updated_at timestamptz not null default now();
alter table knowledge_item validate constraint knowledge_item_knowledge_base_id_fkey;
alter table knowledge_item validate constraint knowledge_item_language_check;
-- Only that foreign key needed it.
alter table knowledge_base drop constraint knowledge_base_id_language_key;

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
