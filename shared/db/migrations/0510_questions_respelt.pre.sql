-- The vector of a question with typos is made of its words as the base spells them.

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
