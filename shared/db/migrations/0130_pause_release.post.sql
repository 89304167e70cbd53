-- Processes of the last release ended pauses with it.
drop function pause_lift_v1(bigint, float8);
