-- Processes of the last release searched with them. The one of knowledge_hybrid_v2 is there only where pgvector is.
drop function knowledge_search_v4(bigint, text, text, integer);
drop function if exists knowledge_hybrid_v2;
drop function knowledge_candidates_v2(bigint, text, text, integer);
drop function knowledge_demand(float8[], float8[], float8);
