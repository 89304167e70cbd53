-- A question is searched for in one pass; only words that stand for others with a typo are looked up after it.

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
    select array_agg(distinct lexemes[1])
    from (select ts_lexize(stemmer, p_word) as lexemes from unnest(p_stemmers) stemmer offset 0) each_language
    where lexemes <> '{}'
$$;

-- The forms under which knowledge_word has a word. `is_whole`: more than its beginning.
create function knowledge_forms(p_word text, p_stems text[]) returns table (form text, is_whole boolean)
language sql immutable parallel safe as $$
    select unnest(p_stems || ('=' || p_word)), true
    union all select '^' || left(p_word, 4), false where length(p_word) > 4
$$;

-- Which of a base's `p_items` items have a form, and how rare that makes it; no row if none has.
create function knowledge_postings(p_knowledge_base_id bigint, p_items bigint, p_form text)
returns table (items bigint[], weights real[], rarity float8) language sql stable parallel safe as $$
    select array_agg(entry.knowledge_item_id), array_agg(entry.weight),
        ln(1 + (greatest(p_items - count(*), 0) + 0.5::float8) / (count(*) + 0.5::float8))
    -- A word of more items than this hardly tells them apart.
    from (select knowledge_item_id, weight from knowledge_word
          where knowledge_base_id = p_knowledge_base_id and word = p_form limit 5000) entry
    having count(*) > 0
$$;

-- What a question asks for, whatever its length, given the weights of its words and their rarities: that of the question alone,
-- unless it has no words of its own ("and then?"). At most that of six words which no item has: whoever greets and thanks at
-- length still asks something. Null, if each word is in a third of the items or more.
create function knowledge_demand(p_weights float8[], p_rarities float8[], p_greatest_rarity float8) returns table (total float8)
language sql immutable parallel safe as $$
    select case when max(rarity) >= 1 then least(
        coalesce(sum(rarity) filter (where weight = 1), sum(weight * rarity)), 6 * p_greatest_rarity) end
    from unnest(p_weights, p_rarities) word (weight, rarity)
$$;

-- The items of one base that have words of a question, best first. `score` is BM25's. `relevance` compares it with what the
-- question asks for: who asks for rare words that no item has gets little. Null: it has only words that are common here.
-- The turn before counts 0.4. Where no item fits twice as well as it must (knowledge_search_v4), a word that the base lacks stands
-- for those that are a slip away: to look for them takes its time, and who spelt what matters rightly has words enough that the
-- base lacks.
create function knowledge_candidates_v2(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer)
returns table (id bigint, score real, relevance real) language plpgsql stable rows 20 as $$
begin
    return query
    with base as materialized (
        select counted.*, ln(2 * counted.items::float8 + 2) as greatest_rarity from (
            select array(select knowledge_stemmer(language) from unnest(languages) language) as stemmers,
                -- Among a handful of items no word is rare yet, and in a large base rarity needs no exact number.
                greatest(50, (select count(*) from (
                    select from knowledge_word entry where entry.knowledge_base_id = p_knowledge_base_id and entry.word = ''
                    limit 10000) some_items)) as items
            from knowledge_base where knowledge_base.id = p_knowledge_base_id offset 0) counted
    ), words as materialized (
        select asked_words.word, asked_words.weight, stemmed.stems
        from base, (
            select texts.word, max(texts.weight) as weight from (
                select word, 1.0::float8 as weight from knowledge_words(left(p_question, 8000))
                union all select word, 0.4 from knowledge_words(left(p_before, 4000))) texts
            group by texts.word) asked_words, knowledge_stems(base.stemmers, asked_words.word) stemmed
        where stemmed.stems is not null
        order by asked_words.weight desc limit 150
    ), postings as materialized (
        select forms.*, entries.*
        from base, (
            select form, max(words.weight) as weight, min(words.word) as asked, bool_or(is_whole) as is_whole
            from words, knowledge_forms(words.word, words.stems) group by form) forms,
            knowledge_postings(p_knowledge_base_id, base.items, forms.form) entries
    ), rarities as materialized (
        select words.word, words.weight, coalesce(max(postings.rarity), base.greatest_rarity) as rarity, base.greatest_rarity
        from base, words left join postings on postings.asked = words.word and postings.is_whole
        group by words.word, words.weight, base.greatest_rarity
    ), demand as materialized (
        select demand.total from (
            select array_agg(weight) as weights, array_agg(rarity) as rarities, max(greatest_rarity) as greatest from rarities) words,
            knowledge_demand(words.weights, words.rarities, words.greatest) demand
    ), best_as_written as materialized (
        select entry.item, sum(postings.weight * rarity * entry.weight)::real as total_score
        from postings, unnest(postings.items, postings.weights) as entry (item, weight)
        group by entry.item order by total_score desc, entry.item limit p_limit
    ), unknown_words as materialized (
        select words.word, words.weight from words
        where (select coalesce(max(total_score) / sqrt((select total from demand)) < 5, true) from best_as_written)
            and length(words.word) between 5 and 24 and words.word !~ '[0-9%\\]' -- a number; LIKE's own
            and not exists (select from postings where form = any (words.stems || ('=' || words.word)))
        order by words.weight desc, length(words.word) desc limit 4
    ), corrections as materialized (
        select correction.asked, correction.word, unknown_words.weight
        from knowledge_corrections(p_knowledge_base_id, array(select unknown_words.word from unknown_words)) correction
        join unknown_words on unknown_words.word = correction.asked
    ), corrected_postings as materialized (
        select forms.*, entries.*
        from base, (
            select form, max(corrections.weight) as weight, min(asked) as asked, bool_or(is_whole) as is_whole
            from base, corrections, knowledge_stems(base.stemmers, corrections.word) stemmed,
                knowledge_forms(corrections.word, stemmed.stems) group by form) forms,
            knowledge_postings(p_knowledge_base_id, base.items, forms.form) entries
        where not exists (select from postings where postings.form = forms.form)
    ), corrected_demand as materialized (
        select demand.total from (
            select array_agg(weight) as weights, max(greatest_rarity) as greatest, array_agg(coalesce((
                select max(corrected_postings.rarity) from corrected_postings
                where asked = rarities.word and is_whole), rarity)) as rarities
            from rarities) words, knowledge_demand(words.weights, words.rarities, words.greatest) demand
    )
    select item, total_score, (total_score / sqrt((select total from demand)))::real
    from best_as_written where not exists (select from corrected_postings)
    union all
    select item, total_score, (full_score / sqrt((select total from corrected_demand)))::real from (
        select entry.item, sum(likeness * all_postings.weight * rarity * entry.weight)::real as total_score,
            sum(all_postings.weight * rarity * entry.weight) as full_score -- a typo makes nobody's question irrelevant
        from (
            select postings.*, 1.0::float8 as likeness from postings union all select *, 0.6 from corrected_postings) all_postings,
            unnest(all_postings.items, all_postings.weights) as entry (item, weight)
        where exists (select from corrected_postings)
        group by entry.item order by total_score desc, entry.item limit p_limit) best_corrected;
end $$;

-- What goes into the prompt: [{id, title, content, score, url}], best first, at most 5; null if nothing fits. An item that scores
-- less than a quarter of the best only shares a common word with the question, and a question whose best item is not relevant
-- is about something else. Of each item only the first `p_characters` are returned; `url` only if answers may show it.
create function knowledge_search_v4(p_knowledge_base_id bigint, p_question text, p_before text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    if p_knowledge_base_id is null then
        return null;
    end if;
    return (
        with candidates as materialized (
            select * from knowledge_candidates_v2(p_knowledge_base_id, p_question, p_before, 5)
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
