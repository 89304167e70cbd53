-- Knowledge is found by a table of words. Items that are there already get theirs in the next file.

alter table knowledge_base add column languages text[] not null default '{}';

-- BM25 over three forms of each word: its stem, the word as it is, its first four letters (shared/README.md, "Knowledge search").
-- What each message asks is plpgsql, whose plans a session keeps.

-- A text as the search reads it: in lower case, without the accents that people leave out, and nothing between two words but a blank.
create function knowledge_fold(p_text text) returns text language sql immutable parallel safe as $$
    select translate(replace(replace(replace(lower(normalize(p_text, nfkc)), 'ß', 'ss'), 'œ', 'oe'), 'æ', 'ae'),
        'àáâãäåāăąçćčèéêëēęěğìíîïīıłñńňòóôõöøőřśşšșţťțùúûüūůűýÿźżž-–/_.@=&?#''’',
        'aaaaaaaaaccceeeeeeegiiiiiilnnnooooooorsssstttuuuuuuuyyzzz            ')
$$;

-- The words of a text and how often each is there. Chinese, Japanese, Thai and Lao have no blanks: two characters are a word.
create function knowledge_words(p_text text) returns table (word text, count integer) language sql immutable parallel safe as $$
    select left(piece.word, 60), sum(coalesce(cardinality(token.positions), 1))::integer
    from unnest(to_tsvector('simple', knowledge_fold(p_text))) token, lateral (
        select token.lexeme as word where token.lexeme !~ '[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]'
        union all
        select substr(token.lexeme, place, 2) from generate_series(1, greatest(length(token.lexeme) - 1, 1)) place
        where token.lexeme ~ '[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]'
    ) piece group by 1
$$;

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
        select boost, b, usual_length, token.word, token.count, stem.stems[1] as stem
        from fields, (select knowledge_stemmer(p_language) as dictionary offset 0) stemmer, knowledge_words(fields.text) token,
            lateral (select ts_lexize(stemmer.dictionary, token.word) as stems offset 0) stem
        where stem.stems <> '{}' -- a stop word
    ), lengths as (
        select tokens.boost, sum(tokens.count) as words from tokens group by tokens.boost
    ), forms as (
        select boost, b, usual_length, stem as form, count, 1.0::float8 as share from tokens
        union all select boost, b, usual_length, '=' || tokens.word, count, 0.25 from tokens
        union all select boost, b, usual_length, '^' || left(tokens.word, 4), count, 0.4 from tokens where length(tokens.word) > 4
    ), counted as (
        select boost, b, usual_length, form, share, sum(count) as count from forms group by 1, 2, 3, 4, 5
    )
    select form, sum(share * boost * 1.8 * count / (count + 0.8 * (1 - b + b * lengths.words / usual_length)))::real
    from counted join lengths using (boost) group by form
    union all select '', 0;
end $$;

-- Keeps knowledge_word, and the languages of a base.
create function knowledge_item_changed() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        delete from knowledge_word where knowledge_item_id = old.id;
    end if;
    if tg_op <> 'DELETE' and new.is_active then
        insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
        select new.knowledge_base_id, word, new.id, weight from knowledge_item_words(new.language, new.title, new.content);
        update knowledge_base set languages = languages || new.language
        where id = new.knowledge_base_id and not languages @> array[new.language];
    end if;
    return null;
end $$;
create trigger knowledge_item_changed after insert or delete or update of knowledge_base_id, language, title, content, is_active
    on knowledge_item for each row execute function knowledge_item_changed();

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

-- Words of a base, up to four and whole, that are a slip away from one that it lacks.
create function knowledge_similar_words(p_knowledge_base_id bigint, p_word text) returns setof text
language plpgsql stable rows 4 as $$
begin
    return query
    select substr(similar_word.word, 2) from (
        select entry.word from knowledge_word entry
        where entry.knowledge_base_id = p_knowledge_base_id and entry.word = any (knowledge_slips(p_word))
        union
        select alike.word from (
            select distinct near.word from (
                select entry.word from knowledge_word entry
                where entry.knowledge_base_id = p_knowledge_base_id and entry.word >= '=' || left(p_word, 4)
                    and entry.word < '=' || left(p_word, 4) || U&'\+10FFFF' order by entry.word limit 2000) near) alike
        where alike.word like any (knowledge_slip_patterns(p_word))
        limit 4) similar_word;
end $$;

-- The items of one base that have words of a question, best first. `score` is BM25's. `relevance` compares it with what the
-- question asks for, whatever its length: who asks for rare words that no item has gets little. Null: it has only words that
-- are common here. The turn before counts 0.4. `p_with_slips`: a word that the base lacks stands for those that are a slip away.
create function knowledge_matches(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer,
                                  p_with_slips boolean)
returns table (id bigint, score real, relevance real) language plpgsql stable rows 20 as $$
begin
    return query
    with counted as materialized (
        select array(select knowledge_stemmer(language) from unnest(languages) language) as stemmers,
            -- Among a handful of items no word is rare yet, and in a large base rarity needs no exact number.
            greatest(50, (select count(*) from (
                select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id and entry.word = ''
                limit 10000) some_items)) as items
        from knowledge_base where knowledge_base.id = p_knowledge_base_id
    ), base as materialized (
        select stemmers, items, ln(2 * items::float8 + 2) as greatest_rarity from counted
    ), asked_words as materialized (
        select texts.word, max(texts.weight) as weight from (
            select word, 1.0::float8 as weight from knowledge_words(left(p_question, 8000))
            union all select word, 0.4 from knowledge_words(left(p_before, 4000))) texts
        group by texts.word
    ), words as materialized (
        select asked_words.word, asked_words.weight, stemmed.stems, exists (
            select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id
                and entry.word = any (stemmed.stems || ('=' || asked_words.word))) as is_known
        from base, asked_words, lateral (
            select array_agg(distinct stems[1]) as stems
            from (select ts_lexize(stemmer, asked_words.word) as stems from unnest(base.stemmers) stemmer offset 0) each_language
            where stems <> '{}') stemmed
        where stemmed.stems is not null -- a stop word
        order by asked_words.weight desc limit 150
    ), similar_words as materialized (
        select unknown.word as asked, unknown.weight, similar_word as word
        from (select words.word, words.weight from words
              where p_with_slips and not is_known and length(words.word) between 5 and 24
                and words.word !~ '[0-9%\\]' -- a number; LIKE's own
              order by words.weight desc, length(words.word) desc limit 4) unknown,
            knowledge_similar_words(p_knowledge_base_id, unknown.word) similar_word
    ), meant_words as materialized (
        select words.word as asked, words.word, words.weight, 1::float8 as likeness, stems from words
        union all
        select similar_words.asked, similar_words.word, similar_words.weight, 0.6, array(
            select distinct stems[1]
            from (select ts_lexize(stemmer, similar_words.word) as stems from unnest(base.stemmers) stemmer offset 0) each_language
            where stems <> '{}')
        from base, similar_words
    ), forms as (
        select form, max(each_form.weight) as weight, max(likeness) as likeness, min(asked) as asked, bool_or(is_whole) as is_whole from (
            select unnest(stems) as form, meant_words.weight, likeness, asked, true as is_whole from meant_words
            union all select '=' || meant_words.word, meant_words.weight, likeness, asked, true from meant_words
            union all select '^' || left(meant_words.word, 4), meant_words.weight, likeness, asked, false from meant_words
                      where length(meant_words.word) > 4) each_form
        group by form
    ), postings as materialized (
        select forms.asked, forms.weight, forms.likeness, forms.is_whole, entries.items, entries.weights,
            ln(1 + (greatest(base.items - entries.count, 0) + 0.5::float8) / (entries.count + 0.5::float8)) as rarity
        from base, forms, lateral (
            select array_agg(knowledge_item_id) as items, array_agg(entry.weight) as weights, count(*) as count
            -- A word of more items than this hardly tells them apart.
            from (select knowledge_item_id, knowledge_word.weight from knowledge_word
                  where knowledge_base_id = p_knowledge_base_id and word = forms.form limit 5000) entry) entries
        where entries.count > 0
    ), demand as materialized (
        -- Of the question alone, unless it has no words of its own ("and then?"). At most that of six words which no item has:
        -- whoever greets and thanks at length still asks something. None, if each word is in a third of the items or more.
        select case when max(rarity) >= 1 then least(
            coalesce(sum(rarity) filter (where weight = 1), sum(weight * rarity)), 6 * max(greatest_rarity)) end as total from (
            select words.weight, base.greatest_rarity, coalesce(max(postings.rarity), base.greatest_rarity) as rarity
            from base, words left join postings on postings.asked = words.word and postings.is_whole
            group by words.word, words.weight, base.greatest_rarity) each_word
    )
    select entry.item, sum(postings.weight * likeness * rarity * entry.weight)::real as total_score,
        -- A typo makes nobody's question irrelevant.
        (sum(postings.weight * rarity * entry.weight) / sqrt((select total from demand)))::real
    from postings, unnest(postings.items, postings.weights) as entry (item, weight)
    group by entry.item order by total_score desc, entry.item limit p_limit;
end $$;

-- The same; slips are looked for where no item fits twice as well as it must (knowledge_search_v3). They cost as much as all the rest,
-- and who spelt what matters rightly has words enough that the base lacks.
create function knowledge_candidates_v1(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer)
returns table (id bigint, score real, relevance real) language plpgsql stable rows 20 as $$
begin
    return query
    with as_written as materialized (
        select * from knowledge_matches(p_knowledge_base_id, p_question, p_before, p_limit, false)
    ), answer as materialized (
        select coalesce(max(as_written.relevance) >= 5, false) as is_there from as_written
    )
    select as_written.* from as_written where (select is_there from answer)
    union all
    select corrected.* from knowledge_matches(p_knowledge_base_id, p_question, p_before, p_limit, true) corrected
    where not (select is_there from answer);
end $$;

-- What goes into the prompt: [{id, title, content, score, url}], best first, at most 5; null if nothing fits. An item that scores
-- less than a quarter of the best only shares a common word with the question, and a question whose best item is not relevant
-- is about something else. Of each item only the first `p_characters` are returned; `url` only if answers may show it.
create function knowledge_search_v3(p_knowledge_base_id bigint, p_question text, p_before text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    if p_knowledge_base_id is null then
        return null;
    end if;
    return (
        with candidates as materialized (
            select * from knowledge_candidates_v1(p_knowledge_base_id, p_question, p_before, 5)
        ), best as (
            select max(score) as score, max(relevance) as relevance from candidates
        )
        select jsonb_agg(jsonb_build_object(
            'id', item.id, 'title', left(item.title, 500), 'content', left(item.content, p_characters),
            'score', round(candidates.score::numeric, 2), 'url', case when item.show_link then item.url end)
            order by candidates.score desc, item.id)
        from best, candidates join knowledge_item item on item.id = candidates.id
        where coalesce(best.relevance >= 2.6, true) and candidates.score >= 0.25 * best.score);
end $$;
