"""Poison: a job whose payload kills its process. It is given up after three processes, and takes no neighbour with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Snooze
from shared.jobs.ledger import Job

#: Claims that may vanish with their worker before the job counts as the cause.
POISON_AFTER = 3
#: Seconds after which a suspect asks again whether it may run.
QUARANTINE_DELAY = 1.0

_one_suspect = threading.Lock()


@contextmanager
def quarantine(job: Job) -> Iterator[None]:
    """A job that is one lost worker short of poison runs beside no other such job, so that it is not blamed for its crash.

    Raises Snooze while another suspect runs in this process.
    """
    if job.lost_claims < POISON_AFTER - 1:
        yield
        return
    if not _one_suspect.acquire(blocking=False):
        raise Snooze(QUARANTINE_DELAY, f"its worker vanished {job.lost_claims} times; waits until no other suspect runs")
    try:
        yield
    finally:
        _one_suspect.release()
