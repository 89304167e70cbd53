"""Forgets job records: completed ones after an hour, failed ones after a day (settings)."""

from __future__ import annotations

from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches

queries = sql.load(__file__)


def prune_jobs() -> dict[str, int]:
    """One pass; returns how many of each state are gone."""
    conf = settings()
    kept_seconds = {"completed": conf.keep_completed, "failed": conf.keep_failed}
    return {state: delete_in_batches(queries["prune_jobs"], state=state, age=age) for state, age in kept_seconds.items()}
