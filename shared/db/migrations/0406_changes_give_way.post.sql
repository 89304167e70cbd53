-- Processes of the last release change messages with it.
drop function message_change_v3(bigint, text, text[], text, text, jsonb, float8, boolean, text[]);
