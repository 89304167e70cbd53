drop function own_message_change_v1(bigint, text, text, text, float8);
drop function quoted_words_v3(bigint, text, text, jsonb);
drop function message_accept_v3(bigint, text, text, text, jsonb, text[]);
