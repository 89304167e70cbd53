drop function message_change_v2;
drop function message_accept_v2;
drop function quoted_words_v2;
drop function quotes_remove;
drop function conversations_of;
