-- What PostgreSQL remembers where it has pgvector (0.7 or newer): the vectors of knowledge items. `scripts/migrate` applies this file
-- beside schema.sql, each time, wherever the extension can be made; everything in it may be run again. Without it the search is
-- lexical alone, and nothing in schema.sql needs it.
--
-- Functions that Python calls keep to the rules of schema.sql: one that was released never changes.

create extension if not exists vector;

-- Two vectors an item: its title, and its title with the beginning of its content.
create table if not exists knowledge_embedding (
    item_id           bigint not null references knowledge_item on delete cascade,
    -- While a base changes its model those of the old one serve until those of the new one are complete.
    model             text not null,
    part              smallint not null,
    knowledge_base_id bigint not null,
    -- MD5 of the text, so that only what has changed is embedded again.
    text_hash         uuid not null,
    -- Of length 1, so that a scalar product is a cosine. 4,000 dimensions fit into a page.
    vector            halfvec not null check (vector_dims(vector) <= 4000),
    primary key (item_id, model, part)
);
-- In the row itself: a search reads all vectors of a base.
alter table knowledge_embedding alter vector set storage plain;
create index if not exists knowledge_embedding_base_idx on knowledge_embedding (knowledge_base_id, model);

-- The texts of an item that vectors are made of.
create or replace function knowledge_embedding_texts(title text, content text) returns table (part smallint, text text)
language sql immutable parallel safe as $$
    select * from (values (0::smallint, title), (1::smallint, title || E'\n' || left(content, 1200))) texts (part, text)
$$;

-- The next texts of a base that have no vector of this model, or one of another text: at most `p_limit`.
create or replace function knowledge_embedding_due_v1(p_knowledge_base_id bigint, p_model text, p_limit integer)
returns table (item_id bigint, part smallint, text text, text_hash uuid) language sql stable as $$
    select item.id, texts.part, texts.text, md5(texts.text)::uuid
    from knowledge_item item cross join lateral knowledge_embedding_texts(item.title, item.content) texts
    where item.knowledge_base_id = p_knowledge_base_id and not exists (
        select from knowledge_embedding embedding
        where embedding.item_id = item.id and embedding.model = p_model and embedding.part = texts.part
          and embedding.text_hash = md5(texts.text)::uuid and embedding.knowledge_base_id = p_knowledge_base_id)
    order by item.id, texts.part limit p_limit
$$;

-- Keeps vectors: each of `p_vectors` is {item_id, part, text_hash, vector}. Returns whether the base lacks more of them. When it has
-- all, they serve from now on, and those of other models go.
create or replace function knowledge_embedding_save_v1(p_knowledge_base_id bigint, p_model text, p_vectors jsonb) returns boolean
language plpgsql as $$
declare
    v_model text;
begin
    -- The base's row is locked: its owner may be changing the model.
    select embedding_model into v_model from knowledge_base where id = p_knowledge_base_id for no key update;
    if v_model is distinct from p_model then
        return false; -- the change has added a job of its own
    end if;
    insert into knowledge_embedding (item_id, model, part, knowledge_base_id, text_hash, vector)
    select item.id, p_model, new.part, p_knowledge_base_id, new.text_hash, l2_normalize(new.vector::halfvec)
    from jsonb_to_recordset(p_vectors) as new(item_id bigint, part smallint, text_hash uuid, vector text)
    join knowledge_item item on item.id = new.item_id and item.knowledge_base_id = p_knowledge_base_id
    on conflict (item_id, model, part) do update
        set knowledge_base_id = excluded.knowledge_base_id, text_hash = excluded.text_hash, vector = excluded.vector;
    if p_model is not null and exists (select from knowledge_embedding_due_v1(p_knowledge_base_id, p_model, 1)) then
        return true;
    end if;
    update knowledge_base set embedded_model = p_model, embedding_error = null
    where id = p_knowledge_base_id and (embedded_model is distinct from p_model or embedding_error is not null);
    delete from knowledge_embedding where knowledge_base_id = p_knowledge_base_id and model is distinct from p_model;
    return false;
end $$;
