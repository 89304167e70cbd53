"""Deletes old rows in batches that hold no lock long."""

from __future__ import annotations

from typing import Any

from shared.db.pool import patient, transaction
from shared.db.query import rows
from shared.db.sql import Query

#: Rows of one DELETE: well under 200 ms, also on a cold disk beside a full load (`scripts/bench scale`).
BATCH = 500
#: Seconds that one may take nevertheless: nobody waits for it, and what it began is lost if it is ended.
PATIENCE = 60.0


def delete_in_batches(query: Query, after: Any = "-infinity", **parameters: Any) -> int:
    """Runs a DELETE that takes `after` and `batch` and answers {rows, last} until nothing is left; returns how many are gone.

    Each batch begins where the last one ended: the index still holds what was deleted, and would be read each time. The first
    one begins at `after`: a time, or 0 where ids say what is old.
    """
    total: int = 0
    while True:
        with patient(PATIENCE), transaction():
            rows("set local synchronous_commit = off")  # what a crash brings back is pruned again
            [deleted] = query.rows(batch=BATCH, after=after, **parameters)
        total += deleted["rows"]
        if deleted["rows"] < BATCH:
            return total
        after = deleted["last"]
