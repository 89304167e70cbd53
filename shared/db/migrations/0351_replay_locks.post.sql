-- Processes of the last release replay with it.
drop function dead_letter_replay_v1(bigint, boolean, text, bigint);
