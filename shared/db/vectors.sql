-- What PostgreSQL remembers where it has pgvector (0.7 or newer): the vectors of knowledge items. `scripts/migrate` applies this file
-- beside schema.sql, each time, wherever the extension can be made; everything in it may be run again. Without it the search is
-- lexical alone, and nothing in schema.sql needs it.
--
-- Functions that Python calls keep to the rules of schema.sql: one that was released never changes.

create extension if not exists vector;

-- Some vectors an item, each of a part of its text.
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
do $$
begin -- where it lacks, for each of these locks a table before it looks
    -- In the row itself: a search reads all vectors of a base.
    if exists (select from pg_attribute where attrelid = 'knowledge_embedding'::regclass and attname = 'vector' and attstorage <> 'p') then
        alter table knowledge_embedding alter vector set storage plain;
    end if;
    if to_regclass('knowledge_embedding_base_idx') is null then
        create index knowledge_embedding_base_idx on knowledge_embedding (knowledge_base_id, model);
    end if;
    -- Items that are switched off, which a search leaves out: usually none.
    if to_regclass('knowledge_item_inactive_idx') is null then
        create index knowledge_item_inactive_idx on knowledge_item (knowledge_base_id) where not is_active;
    end if;
end $$;

-- The texts of an item that vectors are made of: its title, and its title with each 600 characters of its content, up to four times.
-- A vector of a long text is about nothing in particular. 100 characters overlap, so that few sentences are torn.
create or replace function knowledge_embedding_texts(title text, content text) returns table (part smallint, text text)
language sql immutable parallel safe as $$
    select 0::smallint, title
    union all
    select part::smallint, title || E'\n' || substr(content, 600 * part - 599, 700)
    from generate_series(1, least(4, greatest(1, (length(content) + 499) / 600))) part
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
    delete from knowledge_embedding embedding using knowledge_item item -- what a text had more before it was shortened
    where embedding.knowledge_base_id = p_knowledge_base_id and item.id = embedding.item_id
      and part >= (select count(*) from knowledge_embedding_texts(item.title, item.content));
    return false;
end $$;

-- The items of one base that fit a question, best first: [{id, title, content, score, url}], as knowledge_search_v8 gives them, but by
-- 0.75 of their cosine and 0.25 of their words' score, each from 0 to 1 for the base's best; a cosine counts as far as it is above
-- the base's mean, so that no model's cosines need to be known. That of a title alone counts a little less: short texts are near to
-- each other whatever they say, most of all across languages. The turn before, in `p_context` added to the question's vector, decides
-- what "and how often?" is about; an item that fits the question alone has nearly the same place, for the turn before may have been
-- about something else. At most five; what is far below the best is left out. Nothing at all if no item stands out: the best cosine
-- is below `p_floor` and less than `p_lead` above the mean. The floor is that of 200 items, and grows by `p_growth` with the logarithm of
-- their number up to 500: of many items the best is nearer to any question. Both are lower by up to `p_words` where the question's words
-- fit: what two ways to search agree on is seldom wrong. Fewer items than 200 count only where one has a word of the question, for
-- greetings and thanks are as near to anything as a short question is; across languages, where `p_words` is 0, they always do.
-- All vectors of the base are read, by no index: exact, and quick up to some 10,000 items.
create or replace function knowledge_hybrid_v6(p_knowledge_base_id bigint, p_model text, p_question text, p_before text,
    p_vector halfvec, p_context halfvec, p_floor real, p_growth real, p_lead real, p_words real, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    return (
        with cosines as materialized (
            select item_id as id, max(-(vector <#> p_vector) - discount) as alone, max(-(vector <#> p_context) - discount) as in_context
            from knowledge_embedding, lateral (select case part when 0 then 0.015 else 0 end as discount) of_title
            where knowledge_base_id = p_knowledge_base_id and model = p_model and vector_dims(vector) = vector_dims(p_vector)
              and item_id <> all (array(
                  select id from knowledge_item where knowledge_base_id = p_knowledge_base_id and not is_active))
            group by item_id
        ), words_alone as materialized (
            select id, score / max(score) over () as share, relevance
            from knowledge_candidates_v6(p_knowledge_base_id, p_question, null, 1000)
        ), words_in_context as materialized (
            select id, share, relevance from words_alone where p_before is null
            union all
            select id, score / max(score) over (), relevance
            from knowledge_candidates_v6(p_knowledge_base_id, p_question, p_before, 1000) where p_before is not null
        ), fitting as materialized (
            -- All of it from 1.5 on, about twice what the search by words wants; also if the question has only words that are common here.
            select case when count(*) > 0 then p_words * least(coalesce(max(relevance) / 1.5, 1), 1) else 0 end as lowers,
                case when count(*) = 0 and p_words > 0 then 200 else 1 end as fewest_items
            from words_in_context
        ), scale as materialized (
            select avg(alone) as mean_alone, nullif(max(alone) - avg(alone), 0) as lead_alone,
                avg(in_context) as mean_in_context, nullif(max(in_context) - avg(in_context), 0) as lead_in_context,
                -- Null: the base has no vectors.
                coalesce(greatest(max(alone), max(in_context)) + (select lowers from fitting)
                        >= p_floor + p_growth * ln(greatest(least(count(*), 500), (select fewest_items from fitting)) / 200.0)
                    or greatest(max(alone) - avg(alone), max(in_context) - avg(in_context)) + (select lowers from fitting) >= p_lead,
                    true) as one_stands_out
            from cosines
        ), shares as (
            select id, cosines.alone is not null as has_vector,
                coalesce(greatest(cosines.alone - mean_alone, 0) / lead_alone, 1) as cosine_alone,
                coalesce(greatest(cosines.in_context - mean_in_context, 0) / lead_in_context, 1) as cosine_in_context,
                coalesce(words_alone.share, 0) as words_alone, coalesce(words_in_context.share, 0) as words_in_context
            from cosines full join words_in_context using (id) left join words_alone using (id), scale
            where one_stands_out or cosines.alone is null
        ), scored_items as (
            -- An item that has no vector yet counts by its words alone.
            select id, case when has_vector then greatest(0.9 * (0.75 * cosine_alone + 0.25 * words_alone),
                                                          0.75 * cosine_in_context + 0.25 * words_in_context)
                            else words_in_context end as score
            from shares
        ), best_items as materialized (
            select * from scored_items order by score desc, id limit 5
        )
        select jsonb_agg(jsonb_build_object('id', id, 'title', left(title, 500), 'content', left(content, p_characters),
            'score', round(score::numeric, 3), 'url', case when show_link then url end) order by score desc, id)
        from best_items join knowledge_item using (id)
        where score >= 0.45 * (select max(score) from best_items));
end $$;
