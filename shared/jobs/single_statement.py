"""SQL of the stages that only talk to PostgreSQL: one statement takes their jobs, does the work and ends them.

A job that nobody has begun needs no claim there: until the commit nothing has happened, and after it all has. One that
was claimed, because it did not go through at once, ends by the same statement (Ending.at_once, shared/jobs/stage.py).
"""

from __future__ import annotations

from shared.queues import Queue

#: What closes a job, claimed or not.
ENDED = """
    state = 'completed', closed_at = clock_timestamp(), started_at = coalesce(job.started_at, clock_timestamp()),
    claims = greatest(job.claims, 1), attempts = greatest(job.attempts, 1), lease_until = null, claimed_by = null
"""


def asked(queue: Queue) -> str:
    """The rows `asked` of a stage's statement, in the order in which every process goes through them."""
    return f"""
        asked as materialized (
            select *, '{queue}' as queue from jsonb_to_recordset($1) as a(n int, job_id bigint, claim int) order by job_id
        )
    """


#: Which of the rows `asked` may end: claimed so, or never begun (claim 0).
TAKES = """
    job.id = any (array(select job_id from asked)) -- by the index, also where the plan was made on an empty table
    and job.id = asked.job_id and job.queue = asked.queue and job.claims = asked.claim
    and (job.state = 'active' or job.state = 'waiting' and job.claims = 0 and not job.held)
"""
