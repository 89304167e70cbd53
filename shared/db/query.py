"""Runs statements, in SQL or as a query of the models, and returns rows as dictionaries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from peewee import BaseQuery
from psycopg2.extras import Json

from shared.db.outage import repeat_refused
from shared.db.pool import connection, is_connected, patient
from shared.db.session import ON_ITS_WAY, WORKER

#: What the values of a text's placeholders are given as.
Params = Mapping[str, Any] | Sequence[Any] | None

#: Seconds after which a prepared statement is given up, whatever this process's patience: nearly each takes milliseconds, and a
#: program that has minutes for a report must not hang for minutes on a silent connection when it accepts a message.
LONGEST = WORKER.statement + ON_ITS_WAY


def rows(statement: str | BaseQuery, params: Params = None) -> list[dict[str, Any]]:
    """Runs one statement, its own transaction unless one is open, and returns its rows by the names of their columns.

    `params` are for SQL; a query of the models has its own.
    """

    def run() -> list[dict[str, Any]]:
        with connection() as database:
            if isinstance(statement, BaseQuery):
                return _rows_of(database.execute(statement))  # type: ignore[no-untyped-call]  # peewee's
            return _rows_of(database.execute_sql(statement, params))

    return run() if is_connected() else repeat_refused(run)


def _rows_of(cursor: Any) -> list[dict[str, Any]]:
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def execute_prepared(name: str, sql: str, parameter: Json, patience: float | None) -> list[dict[str, Any]]:
    """Runs a statement with one jsonb parameter, `$1`, which each connection prepares once under `name`.

    `patience`: the seconds that it may take, where it goes through much.
    """
    return repeat_refused(lambda: _execute_prepared(name, sql, parameter, patience))


def _execute_prepared(name: str, sql: str, parameter: Json, longest: float | None) -> list[dict[str, Any]]:
    with connection() if longest is None else patient(longest) as database:
        session = database.session
        started, patience = time.monotonic(), session.patience
        session.patience = min(patience, LONGEST) if longest is None else patience
        try:
            if session.should_replan():
                database.execute_sql("discard plans")
            if name not in session.prepared:
                database.execute_sql(f"prepare {name} (jsonb) as {sql}".replace("%", "%%"))
                session.prepared.add(name)
            started = time.monotonic()
            return _rows_of(database.execute_sql(f"execute {name} (%s)", [parameter]))
        finally:
            session.record_duration(time.monotonic() - started)
            session.patience = patience


def row(statement: str | BaseQuery, params: Params = None) -> dict[str, Any] | None:
    """The statement's first row, or None."""
    return next(iter(rows(statement, params)), None)


def scalar(statement: str | BaseQuery, params: Params = None) -> Any:
    """The first column of the statement's first row, or None."""
    first = row(statement, params)
    return next(iter(first.values())) if first else None


def json(value: Any) -> Json:
    """A parameter of type json or jsonb."""
    return Json(value)
