-- Processes of the last release lock with it.
drop function job_lock_runnable_v1(text, jsonb);
