-- Processes of the last release searched with them. The one of knowledge_hybrid_v1 is there only where pgvector is.
drop function knowledge_search_v3(bigint, text, text, integer);
drop function if exists knowledge_hybrid_v1;
drop function knowledge_candidates_v1(bigint, text, text, integer);
drop function knowledge_matches(bigint, text, text, integer, boolean);
drop function knowledge_similar_words(bigint, text);
