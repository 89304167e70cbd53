"""Forgets job records: completed ones after an hour, failed ones after a day (settings)."""

from __future__ import annotations

from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches

queries = sql.load(__file__)


#: Seconds before the time for which records are kept. Who looks each minute finds none of theirs beyond, but records of the other
#: state, which are kept for longer: hundreds of thousands after a bad day, with their tracebacks.
RECENT, EVER = 7_200.0, 3e9


def prune_recent_jobs() -> dict[str, int]:
    """What has become too old in the last hours; returns how many of each state are gone."""
    return prune_jobs(RECENT)


def prune_jobs(reach: float = EVER) -> dict[str, int]:
    """What has become too old within so many seconds; returns how many of each state are gone."""
    conf = settings()
    kept_seconds = {"completed": conf.keep_completed, "failed": conf.keep_failed}
    return {
        state: delete_in_batches(queries["prune_jobs"], state=state, age=age, reach=reach) for state, age in kept_seconds.items()
    }
