-- name: search_by_meaning
select input.n, knowledge_hybrid_v6(knowledge_base_id, model, question, before, vector::halfvec, context_vector::halfvec,
    floor, growth, lead, words, characters) as items
from jsonb_to_recordset($1) as input(n integer, knowledge_base_id bigint, model text, question text, before text, vector text,
    context_vector text, floor real, growth real, lead real, words real, characters integer)

-- name: respelt(knowledge_base_id, question, before)
select knowledge_respelt_v1(:knowledge_base_id, :question) as question, knowledge_respelt_v1(:knowledge_base_id, :before) as before
