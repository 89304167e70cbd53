drop function quoted_words_v4(bigint, text, text, jsonb);
