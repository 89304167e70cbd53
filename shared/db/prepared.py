"""Statements of the fast path: prepared once for each connection, and batched between threads.

A statement takes one jsonb array, `$1`, of rows that are numbered by `n`; it answers with rows that name the `n` they are
for. Planning the pipeline's statements costs PostgreSQL more than running them, and so does a commit for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared import db
from shared.config import settings
from shared.db.batching import Batch

Row = dict[str, Any]


class Statement:
    """A statement under a name that is unique in this program. Call it with a row's values.

    `patience`: the seconds that it waits for a PostgreSQL that went away; a lease's, unless somebody outside waits for it.
    """

    def __init__(self, name: str, sql: str, patience: float | None = None) -> None:
        self.name, self.sql, self.patience = name, sql, patience
        self._batch: Batch[Mapping[str, Any], Row | None] = Batch(self._run)

    def __call__(self, values: Mapping[str, Any]) -> Row | None:
        """The row that answers these values, or None."""
        return self._batch(values)

    def execute(self, items: Sequence[Mapping[str, Any]]) -> list[Row]:
        """One execution for all items, again if PostgreSQL went away meanwhile. Raises ServiceDown."""
        numbered = db.json([{**item, "n": n} for n, item in enumerate(items)])
        patience = settings().job_lease if self.patience is None else self.patience
        return db.retry_on_outage(lambda: db.execute_prepared(self.name, self.sql, numbered), patience)

    def _run(self, items: Sequence[Mapping[str, Any]]) -> list[Row | None]:
        found: list[Row | None] = [None] * len(items)
        for row in self.execute(items):
            found[row.pop("n")] = row
        return found
