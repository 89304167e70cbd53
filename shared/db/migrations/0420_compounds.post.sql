-- Processes of the last release searched with them. The one of knowledge_hybrid_v3 is there only where pgvector is.
drop function knowledge_search_v5(bigint, text, text, integer);
drop function if exists knowledge_hybrid_v3;
drop function knowledge_candidates_v3(bigint, text, text, integer);
