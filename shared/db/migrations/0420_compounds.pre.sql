-- How a text is read: Korean, Burmese and Khmer, digits of other scripts, and what is written with hyphens or beside a number.

-- A text as the search reads it: in lower case, without the accents that people leave out, with the digits of Europe, and nothing
-- between two words but a blank.
create or replace function knowledge_fold(p_text text) returns text language sql immutable parallel safe as $$
    select translate(replace(replace(replace(lower(normalize(p_text, nfkc)), 'ß', 'ss'), 'œ', 'oe'), 'æ', 'ae'),
        'àáâãäåāăąçćčèéêëēęěğìíîïīıłñńňòóôõöøőřśşšșţťțùúûüūůűýÿźżž-–/_.@=&?#''’٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙',
        'aaaaaaaaaccceeeeeeegiiiiiilnnnooooooorsssstttuuuuuuuyyzzz            0123456789012345678901234567890123456789')
$$;

-- The words of a text and how often each is there. Chinese, Japanese, Thai, Lao, Burmese and Khmer have no blanks, and Korean words
-- end in particles: two characters are a word.
create or replace function knowledge_words(p_text text) returns table (word text, count integer) language sql immutable parallel safe as $$
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

-- k1 is 0.8; b is 0.75, in titles 0.7; a title counts 2.5 times. Usual lengths are constants, a title's 9 words and a content's 80:
-- then a weight depends on its item alone, and an import writes its own rows only.
create or replace function knowledge_item_words(p_language text, p_title text, p_content text) returns table (word text, weight real)
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

-- The items of one base that have words of a question, best first. `score` is BM25's. `relevance` compares it with what the
-- question asks for, both in words that tell something and as shares of the greatest rarity, which is that of a base's size: who asks
-- for rare words that no item has gets little. Null: it has only words that are common here.
-- The turn before counts 0.4. Where no item fits about twice as well as it must (knowledge_search_v6), a word that the base lacks stands
-- for those that are a slip away: to look for them takes its time, and who spelt what matters rightly has words enough that the
-- base lacks.
create function knowledge_candidates_v4(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer)
returns table (id bigint, score real, relevance real) language plpgsql stable rows 20 as $$
begin
    return query
    with base as materialized (
        select counted.*, ln(2 * counted.items::float8 + 2) as greatest_rarity from (
            select languages, array(select knowledge_stemmer(language) from unnest(languages) language) as stemmers,
                -- Among a handful of items no word is rare yet, and in a large base rarity needs no exact number.
                greatest(50, (select count(*) from (
                    select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id and entry.word = ''
                    limit 10000) some_items)) as items,
                -- Of a word that is not common; of each, where nobody knows: then the floor is about as high.
                case when exists (select from knowledge_common_word_list list where list.language = any (languages)) then 1
                    else 0.6 end::float8 as telling
            from knowledge_base where knowledge_base.id = p_knowledge_base_id offset 0) counted
    ), words as materialized (
        select stemmed_words.word, stemmed_words.weight, stemmed_words.is_compound, stemmed_words.stems, known.telling
        from base, (
            select asked_words.word, asked_words.weight, asked_words.is_compound, stemmed.stems
            from base, (
                select texts.word, max(texts.weight) as weight, bool_and(texts.is_compound) as is_compound from (
                    select word, 1.0::float8 as weight, false as is_compound from knowledge_words(left(p_question, 8000))
                    union all select word, 0.4, false from knowledge_words(left(p_before, 4000))
                    union all select word, 0.5, true from knowledge_compounds(left(p_question, 8000))) texts
                group by texts.word) asked_words, knowledge_stems(base.stemmers, asked_words.word) stemmed
            where stemmed.stems is not null
            order by asked_words.is_compound, asked_words.weight desc limit 150) stemmed_words,
            knowledge_telling(base.languages, stemmed_words.stems, base.telling) known
    ), postings as materialized (
        select forms.*, entries.*
        from base, (
            select form, max(words.weight) as weight, min(words.word) as asked, bool_or(is_whole) as is_whole,
                max(words.telling) as telling
            from words, knowledge_forms(words.word, words.stems) where is_whole or not words.is_compound group by form) forms,
            knowledge_postings(p_knowledge_base_id, base.items, forms.form) entries
    ), rarities as materialized (
        select words.word, words.weight, words.telling, coalesce(max(postings.rarity), base.greatest_rarity) as rarity,
            base.greatest_rarity
        from base, words left join postings on postings.asked = words.word and postings.is_whole
        where not words.is_compound -- its parts are asked for
        group by words.word, words.weight, words.telling, base.greatest_rarity
    ), demand as materialized (
        select sqrt(demand.total * words.greatest) as most from (
            select array_agg(weight) as weights, array_agg(rarity) as rarities, array_agg(telling) as telling,
                max(greatest_rarity) as greatest from rarities) words,
            knowledge_demand_v2(words.weights, words.rarities, words.telling, words.greatest) demand
    ), best_as_written as materialized (
        select entry.item, sum(postings.weight * rarity * entry.weight)::real as total_score,
            sum(postings.weight * rarity * telling * entry.weight) as telling_score
        from postings, unnest(postings.items, postings.weights) as entry (item, weight)
        group by entry.item order by total_score desc, entry.item limit p_limit
    ), unknown_words as materialized (
        select words.word, words.weight from words
        where not words.is_compound and (select coalesce(max(telling_score) / (select most from demand) < 1.9, true) from best_as_written)
            and length(words.word) between 5 and 24 and words.word !~ '[0-9%\\]' -- a number; LIKE's own
            and not exists (select from postings where form = any (words.stems || ('=' || words.word)))
        order by words.weight desc, length(words.word) desc limit 4
    ), corrections as materialized (
        select correction.asked, correction.word, unknown_words.weight, stemmed.stems, known.telling
        from base, knowledge_corrections(p_knowledge_base_id, array(select unknown_words.word from unknown_words)) correction
            join unknown_words on unknown_words.word = correction.asked,
            knowledge_stems(base.stemmers, correction.word) stemmed, knowledge_telling(base.languages, stemmed.stems, base.telling) known
    ), corrected_postings as materialized (
        select forms.*, entries.*
        from base, (
            select form, max(corrections.weight) as weight, min(asked) as asked, bool_or(is_whole) as is_whole,
                min(corrections.telling) as telling
            from corrections, knowledge_forms(corrections.word, corrections.stems) group by form) forms,
            knowledge_postings(p_knowledge_base_id, base.items, forms.form) entries
        where not exists (select from postings where postings.form = forms.form)
    ), corrected_demand as materialized (
        select sqrt(demand.total * words.greatest) as most from (
            select array_agg(weight) as weights, max(greatest_rarity) as greatest,
                array_agg(coalesce(corrected.rarity, rarities.rarity)) as rarities,
                array_agg(coalesce(corrected.telling, rarities.telling)) as telling
            from rarities left join lateral (
                select max(corrected_postings.rarity) as rarity, min(corrected_postings.telling) as telling from corrected_postings
                where asked = rarities.word and is_whole) corrected on true) words,
            knowledge_demand_v2(words.weights, words.rarities, words.telling, words.greatest) demand
    )
    select item, total_score, (telling_score / (select most from demand))::real
    from best_as_written where not exists (select from corrected_postings)
    union all
    select item, total_score, (telling_score / (select most from corrected_demand))::real from (
        select entry.item, sum(likeness * all_postings.weight * rarity * entry.weight)::real as total_score,
            -- a typo makes nobody's question irrelevant
            sum(all_postings.weight * rarity * telling * entry.weight) as telling_score
        from (
            select postings.*, 1.0::float8 as likeness from postings union all select *, 0.6 from corrected_postings) all_postings,
            unnest(all_postings.items, all_postings.weights) as entry (item, weight)
        where exists (select from corrected_postings)
        group by entry.item order by total_score desc, entry.item limit p_limit) best_corrected;
end $$;

-- What goes into the prompt: [{id, title, content, score, url}], best first; null if nothing fits. The best five, and behind them
-- what is of another section, as long as there are fewer than five: parts of one long text leave room for others. An item that
-- scores less than a fifth of the best only shares a common word with the question, and a question whose best item is not relevant
-- is about something else. Of each item only the first `p_characters` are returned; `url` only if answers may show it.
create function knowledge_search_v6(p_knowledge_base_id bigint, p_question text, p_before text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    if p_knowledge_base_id is null then
        return null;
    end if;
    return (
        with candidates as materialized (
            select * from knowledge_candidates_v4(p_knowledge_base_id, p_question, p_before, 10)
        ), best as (
            select max(score) as score, max(relevance) as relevance from candidates
        ), parts as (
            select candidates.id, candidates.score,
                row_number() over (order by candidates.score desc, item.id) as place,
                row_number() over (partition by coalesce(item.document_id, -item.id), item.title
                    order by candidates.score desc, item.id) as part
            from candidates join knowledge_item item on item.id = candidates.id
        ), sections as (
            select parts.*, count(*) filter (where part = 1) over (order by place) as sections from parts
        )
        select jsonb_agg(jsonb_build_object(
            'id', item.id, 'title', left(item.title, 500), 'content', left(item.content, p_characters),
            'score', round(sections.score::numeric, 2), 'url', case when item.show_link then item.url end) order by place)
        from best, sections join knowledge_item item on item.id = sections.id
        where coalesce(best.relevance >= 0.86, true) and sections.score >= 0.2 * best.score
            and (place <= 5 or part = 1 and sections <= 5));
end $$;

-- The words of the items that are read otherwise now. One transaction, which may take minutes (4 ms an item) and keeps nobody from
-- searching; an item that is changed meanwhile waits for it.
do $$
declare
    v_items bigint[];
begin
    select array_agg(id) into v_items from (
        select id from knowledge_item where is_active and title || ' ' || content
            ~ '[٠-٩۰-۹०-९๐-๙\u1000-\u109f\u1780-\u17ff\uac00-\ud7a3]|[[:alnum:]][-_‐‑][[:alnum:]]|[[:alpha:]] [0-9]|[0-9] [[:alpha:]]'
        for no key update) changed_items;
    delete from knowledge_word where knowledge_item_id = any (v_items);
    insert into knowledge_word (knowledge_base_id, word, knowledge_item_id, weight)
    select item.knowledge_base_id, words.word, item.id, words.weight
    from knowledge_item item, knowledge_item_words(item.language, item.title, item.content) words where item.id = any (v_items);
end $$;
