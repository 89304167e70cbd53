-- Workers of the last release used it.
drop function job_snooze_v1(jsonb);
