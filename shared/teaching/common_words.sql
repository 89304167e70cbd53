-- name: listed(version)
select language from knowledge_common_word_list where version = :version

-- name: forget(language)
delete from knowledge_common_word where language = :language

-- name: fill(language, words, frequencies)
-- Stems as the search makes them of an item's words; of those with several words the sum. Ten of a million are common.
with stems as (
    select (ts_lexize(stemmer.dictionary, folded.word))[1] as stem, given.frequency
    from (select knowledge_stemmer(:language) as dictionary offset 0) stemmer,
        unnest(:words::text[], :frequencies::float8[]) as given (word, frequency),
        lateral string_to_table(knowledge_fold(given.word), ' ') folded (word)
    where folded.word <> ''
    offset 0
)
insert into knowledge_common_word (language, stem, per_million)
select :language, stem, (sum(frequency) * 1000000)::real
from stems where stem is not null group by stem having sum(frequency) >= 0.00001

-- name: list(language, version)
insert into knowledge_common_word_list (language, version) values (:language, :version)
on conflict (language) do update set version = excluded.version
