"""Forgets job records: completed ones after an hour, failed ones after a day (settings), in bounded batches."""

from __future__ import annotations

import logging

from shared import db
from shared.config import settings

log = logging.getLogger(__name__)

#: Rows of one DELETE: well under 200 ms, also on a cold disk beside a full load (`scripts/bench scale`).
BATCH = 500
#: Seconds a status for an unknown message is kept: long after any send's answer must have come.
KEEP_PARKED = 3_600

#: Seconds that what could not be placed is kept for inspection: a week.
KEEP_REJECTS = 7 * 86_400

# Each batch begins where the last one ended: the index still holds what was deleted, and would be walked each time.
# now(), not clock_timestamp(): only what is stable for a statement bounds an index scan; the last batch read a million rows.
_JOBS = """
    with gone as (
        delete from job where id = any (array(
            select id from job where state = %(state)s and closed_at >= %(after)s
                and closed_at < now() - make_interval(secs => %(age)s)
            order by closed_at limit %(batch)s))
        returning closed_at
    ) select count(*) as rows, max(closed_at) as last from gone
"""

_PARKED = """
    with gone as (
        delete from parked_status where id = any (array(
            select id from parked_status where received_at >= %(after)s
                and received_at < now() - make_interval(secs => %(age)s)
            order by received_at limit %(batch)s))
        returning received_at
    ) select count(*) as rows, max(received_at) as last from gone
"""

_REJECTS = _PARKED.replace("parked_status", "inbound_reject")


def prune() -> dict[str, int]:
    """One pass; returns how many of each kind are gone."""
    conf = settings()
    gone = {
        "completed": _in_batches(_JOBS, state="completed", age=conf.keep_completed),
        "failed": _in_batches(_JOBS, state="failed", age=conf.keep_failed),
        "parked_statuses": _in_batches(_PARKED, age=KEEP_PARKED),
        "inbound_rejects": _in_batches(_REJECTS, age=KEEP_REJECTS),
    }
    if any(gone.values()):
        log.info("pruned", extra=gone)
    return gone


def _in_batches(statement: str, **params: object) -> int:
    total, after = 0, "-infinity"
    while True:
        with db.transaction():
            db.rows("set local synchronous_commit = off")  # what a crash brings back is pruned again
            [gone] = db.rows(statement, {**params, "batch": BATCH, "after": after})
        deleted: int = gone["rows"]
        total += deleted
        if deleted < BATCH:
            return total
        after = gone["last"]
