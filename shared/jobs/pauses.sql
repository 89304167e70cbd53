-- name: park(job_id, claim, pause_id, seconds)
-- Parks a job, unless the pause has ended by now: its row is locked, so that whoever ends it waits for this, and releases the job too.
select job_park_v1(:job_id, :claim, 'pause ' || id, :seconds, 'paused') as is_parked
from (select id from pause where id = :pause_id for share) pause
