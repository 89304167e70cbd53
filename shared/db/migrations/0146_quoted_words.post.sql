drop function quoted_words_v1;
