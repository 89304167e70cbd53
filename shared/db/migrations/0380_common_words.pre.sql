-- How common a word is in its language says how much it tells about what is asked for.

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

-- What a question asks for, whatever its length, given the weights of its words, their rarities, and how much each tells: that of
-- the question alone, unless it has no words of its own ("and then?"). At most that of five words which no item has and that tell as
-- much as the best: whoever greets and thanks at length still asks something. Null, if each word is in a third of the items or more.
create function knowledge_demand_v2(p_weights float8[], p_rarities float8[], p_telling float8[], p_greatest_rarity float8)
returns table (total float8) language sql immutable parallel safe as $$
    select case when max(rarity) >= 1 then least(
        coalesce(sum(rarity * telling) filter (where weight = 1), sum(weight * rarity * telling)),
        5 * p_greatest_rarity * max(telling)) end
    from unnest(p_weights, p_rarities, p_telling) word (weight, rarity, telling)
$$;

-- The items of one base that have words of a question, best first. `score` is BM25's. `relevance` compares it with what the
-- question asks for, both in words that tell something and as shares of the greatest rarity, which is that of a base's size: who asks
-- for rare words that no item has gets little. Null: it has only words that are common here.
-- The turn before counts 0.4. Where no item fits about twice as well as it must (knowledge_search_v5), a word that the base lacks stands
-- for those that are a slip away: to look for them takes its time, and who spelt what matters rightly has words enough that the
-- base lacks.
create function knowledge_candidates_v3(p_knowledge_base_id bigint, p_question text, p_before text, p_limit integer)
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
        select stemmed_words.word, stemmed_words.weight, stemmed_words.stems, known.telling
        from base, (
            select asked_words.word, asked_words.weight, stemmed.stems
            from base, (
                select texts.word, max(texts.weight) as weight from (
                    select word, 1.0::float8 as weight from knowledge_words(left(p_question, 8000))
                    union all select word, 0.4 from knowledge_words(left(p_before, 4000))) texts
                group by texts.word) asked_words, knowledge_stems(base.stemmers, asked_words.word) stemmed
            where stemmed.stems is not null
            order by asked_words.weight desc limit 150) stemmed_words,
            knowledge_telling(base.languages, stemmed_words.stems, base.telling) known
    ), postings as materialized (
        select forms.*, entries.*
        from base, (
            select form, max(words.weight) as weight, min(words.word) as asked, bool_or(is_whole) as is_whole,
                max(words.telling) as telling
            from words, knowledge_forms(words.word, words.stems) group by form) forms,
            knowledge_postings(p_knowledge_base_id, base.items, forms.form) entries
    ), rarities as materialized (
        select words.word, words.weight, words.telling, coalesce(max(postings.rarity), base.greatest_rarity) as rarity,
            base.greatest_rarity
        from base, words left join postings on postings.asked = words.word and postings.is_whole
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
        where (select coalesce(max(telling_score) / (select most from demand) < 1.9, true) from best_as_written)
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
create function knowledge_search_v5(p_knowledge_base_id bigint, p_question text, p_before text, p_characters integer)
returns jsonb language plpgsql stable as $$
begin
    if p_knowledge_base_id is null then
        return null;
    end if;
    return (
        with candidates as materialized (
            select * from knowledge_candidates_v3(p_knowledge_base_id, p_question, p_before, 10)
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
