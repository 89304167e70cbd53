"""media-fetch: fetches what a message came with, stores it, and hands the message to the AI.

Each file is kept for itself: one that cannot be had never costs the others, and a retry goes on with those that are missing.
"""

from __future__ import annotations

import logging
from typing import Any

from shared import payloads
from shared.db import sql
from shared.errors import OutsideFailure, PermanentError, PermanentRefusal
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.retry_policy import RetryPolicy
from shared.jobs.stage import actor
from shared.queues import Queue

log = logging.getLogger(__name__)

queries = sql.load(__file__)

finish = CompletionStatement(queries["finish"])


@actor(
    Queue.MEDIA,
    max_retries=6,
    min_backoff=1000,
    # Two minutes: a media server that restarts is waited for, and a customer who waits is not kept for longer.
    retry=RetryPolicy(delays=(1.0, 2.0, 4.0, 15.0, 30.0, 60.0), jitter=0.1),
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
)
def fetch_media(job: Job) -> None:
    """Fetches the media of a message that are not stored yet; then the message is answered."""
    payload = payloads.read(Queue.MEDIA, job.payload)
    if job.loaded is None:
        log.info("media_dropped", extra={"reason": "the message is deleted"})
        complete(job)
        return
    problems = [problem for file in job.loaded["media"] or () if (problem := _fetch_or_fail(job.loaded, file))]
    if problems:
        raise problems[0]
    finish(job, {"message_id": payload["message_id"], "may_answer": payload["may_answer"]})


def _fetch_or_fail(message: dict[str, Any], file: dict[str, Any]) -> OutsideFailure | None:
    """Fetches one file; returns what may pass."""
    if file["state"] != "waiting":
        return None
    try:
        raise PermanentRefusal(f"files of the channel {message['channel']} cannot be fetched yet")
    except PermanentError as problem:
        queries["keep_failed"].rows(id=file["id"], error=str(problem))
    except OutsideFailure as problem:
        return problem
    return None
