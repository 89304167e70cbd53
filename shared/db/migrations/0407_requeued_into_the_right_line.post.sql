-- Processes of the last release requeue and replay with them.
drop function job_requeue_v1(bigint);
drop function dead_letter_replay_v2(bigint, boolean, text, bigint);
