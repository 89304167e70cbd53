alter table knowledge_document add superseded_job bigint;

-- An import has locked its base for a moment at its end, not for as long as it makes words.
create or replace function knowledge_item_changed() returns trigger language plpgsql as $$
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
