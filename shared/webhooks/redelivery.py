"""Events that failed are tried again when their time has come: it stands on the event, so no job waits for days.

The stage (workers/webhooks.sql) writes the time when a job has failed for good, by the endpoint's schedule. Here such an event
becomes PENDING again, with a job that makes one attempt, behind whatever is delivered for the first time.
"""

from __future__ import annotations

import logging

from shared.broker.enqueue import enqueue, tickets_of
from shared.db import sql

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Events of one statement, and statements of one pass (SWEEP_INTERVAL_SECONDS): 400 events a second by default. Where an outage
#: was wide more are due; they come one after the other, and not all at once into Redis.
BATCH, BATCHES = 500, 4


def redeliver_due() -> int:
    """One pass; returns how many events are tried again."""
    return _in_batches("redeliver_due", "events_due_again")


def release_held() -> int:
    """One pass over what waited for an endpoint that was paused; returns how many events are delivered now."""
    return _in_batches("release_held", "held_events_released")


def _in_batches(query: str, told_as: str) -> int:
    total = 0
    for _ in range(BATCHES):
        [due] = queries[query].rows(batch=BATCH)
        enqueue(tickets_of(due["tickets"]))
        total += due["events"]
        if due["events"] < BATCH:
            break
    if total:
        log.info(told_as, extra={"events": total})
    return total
