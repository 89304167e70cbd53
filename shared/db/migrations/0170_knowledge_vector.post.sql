-- The search by knowledge_word took their place. Their index was written with each item, and read by nobody.
drop function knowledge_search_v2(bigint, text, text, integer);
alter table knowledge_item drop column vector; -- and its index
drop function knowledge_vector(text, text, text);
