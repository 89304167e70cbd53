-- Processes of the last release searched with them. That of knowledge_hybrid_v4 is there only where pgvector is.
drop function knowledge_search_v6(bigint, text, text, integer);
drop function if exists knowledge_hybrid_v4;
drop function knowledge_candidates_v4(bigint, text, text, integer);
drop function knowledge_demand_v2(float8[], float8[], float8[], float8);
