-- Processes of the last release complete with it.
drop function job_complete_v1(text, jsonb, jsonb, jsonb, boolean);
