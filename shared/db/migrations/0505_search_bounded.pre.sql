-- A search reads no more than so much, however long the question is and however much its base has.

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

-- The postings of what a base has instead of some words that it lacks, under forms that are not known already.
create or replace function knowledge_corrected_postings(p_knowledge_base_id bigint, p_items bigint, p_languages text[],
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
