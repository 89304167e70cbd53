"""Statements of the fast path: prepared once for each connection, with many rows to an execution.

A statement takes one jsonb array, `$1`, of rows that are numbered by `n`; it answers with rows that name the `n` they are
for. Planning the pipeline's statements costs PostgreSQL more than running them, and so does a commit for each: callers
put what several threads have to say into one execution (shared/db/batching.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.config import settings
from shared.db.batching import Batch
from shared.db.outage import retry_on_outage
from shared.db.query import execute_prepared, json
from shared.db.sql import Query, SqlFileError

Row = dict[str, Any]
#: The columns of a statement's rows; a type may have parentheses of its own.
_COLUMNS = re.compile(r"jsonb_to_recordset\(\$1\)\s+as\s+\w+\s*\(((?:[^()]|\([^()]*\))*)\)")
_IN_PARENTHESES = re.compile(r"\([^()]*\)|--[^\n]*")


#: The statements of this program, by the names under which connections prepare them.
_texts: dict[str, str] = {}


class Statement:
    """A query that takes rows, prepared under its own name; names are unique in this program.

    `retry_seconds`: how long it waits for a PostgreSQL that went away; a lease's length, unless somebody outside waits for it.
    `patience`: seconds that one execution may take, if it goes through much.
    """

    def __init__(
        self, query: Query, retry_seconds: float | None = None, name: str = "", *, patience: float | None = None
    ) -> None:
        if not query.takes_rows:
            raise SqlFileError(f"{query.where}: a prepared statement takes its rows as $1")
        self.query, self.name = query, name or query.name
        self._retry_seconds, self._patience = retry_seconds, patience
        if _texts.setdefault(self.name, query.text) != query.text:
            raise SqlFileError(f"{query.where}: another statement is prepared as {self.name}; give one of them another name")
        named = _COLUMNS.search(query.text)
        self._columns = {column.split()[0] for column in _IN_PARENTHESES.sub("", named[1]).split(",")} - {"n"} if named else None

    def execute(self, items: Sequence[Mapping[str, Any]]) -> list[Row]:
        """One execution for all items, again if PostgreSQL went away meanwhile. Raises ServiceDown."""
        numbered = json([self._checked(item) | {"n": n} for n, item in enumerate(items)])
        seconds = settings().job_lease if self._retry_seconds is None else self._retry_seconds
        return retry_on_outage(lambda: execute_prepared(self.name, self.query.text, numbered, self._patience), seconds)

    def rows_by_item(self, items: Sequence[Mapping[str, Any]]) -> list[Row | None]:
        """The row that answers each item, or None."""
        found: list[Row | None] = [None] * len(items)
        for row in self.execute(items):
            found[row.pop("n")] = row
        return found

    def batched(self) -> Batch[Mapping[str, Any], Row | None]:
        """To be called with one item: what several threads call at the same moment is one execution."""
        return Batch(self.rows_by_item)

    def _checked(self, item: Mapping[str, Any]) -> dict[str, Any]:
        if self._columns is not None and item.keys() != self._columns:
            odd = ", ".join(sorted(item.keys() ^ self._columns))
            raise SqlFileError(f"{self.query.where}: an item and its columns differ in: {odd}")
        return dict(item)
