"""knowledge-import: reads one document of a source, and replaces the knowledge items that came from it before."""

from __future__ import annotations

import logging

from shared import payloads
from shared.db import sql
from shared.jobs.completion import complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

log = logging.getLogger(__name__)

queries = sql.load(__file__)


@actor(
    Queue.KNOWLEDGE_IMPORT,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    outside_level=logging.INFO,  # a customer's site or file is theirs to mend
)
def read_document(job: Job) -> None:
    """Reads the job's document; of a job without one, finds the source's documents."""
    payloads.read(Queue.KNOWLEDGE_IMPORT, job.payload)
    if job.loaded is None:
        log.info("import_dropped", extra={"reason": "the source or its document is deleted"})
    complete(job)
