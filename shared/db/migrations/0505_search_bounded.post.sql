-- Processes of the last release searched with them. That of knowledge_hybrid_v5 is there only where pgvector is.
drop function knowledge_search_v7(bigint, text, text, integer);
drop function if exists knowledge_hybrid_v5;
drop function knowledge_candidates_v5(bigint, text, text, integer);
drop function knowledge_postings(bigint, bigint, text);
