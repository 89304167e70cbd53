-- Workers of the last release used them.
drop function message_set_status_v1(bigint, text, text, text, integer, jsonb);
drop function status_rank_v1(text);
