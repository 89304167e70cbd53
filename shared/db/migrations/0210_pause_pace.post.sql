-- Processes of the last release let a pause's jobs go with it.
drop function pause_release_v1(bigint, timestamptz, bigint, float8, integer);
