drop function dead_letter_replay_v3(bigint, boolean, text, bigint);
drop function dead_letter_verdict_v1(bigint, boolean);
drop function send_claim_v2(text, jsonb);
drop function reply_may_leave_v1(bigint, timestamptz, text, timestamptz, timestamptz);
