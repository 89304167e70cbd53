"""Whether the database is of this code's age, or scripts/migrate was not run, or run by a later release.

A statement that fails for that is right, and succeeds when the database or the code is exchanged: an outage, for which jobs wait,
and which the front door answers with 503. So it is asked after an error that it could explain, and by /readyz.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import psycopg2

from shared.db.outage import SchemaDiffers, kind_of
from shared.db.session import Session

#: How SQLSTATEs begin that say that something is not there or is otherwise than expected (a relation, a column, a function, a
#: schema), or that only a later schema allows a value.
_EXPLAINED = ("42", "3F", "23514")
#: Seconds for which an answer holds: errors come in crowds.
FRESH = 1.0
_MIGRATIONS = Path(__file__).with_name("migrations")
#: The table's name as the session's search_path finds it; null where it does not.
_IS_OURS = "select to_regclass('schema_migration')::text"
#: The schema that has our tables, where the session does not look, and where it does.
_ELSEWHERE = """
    select nspname, current_setting('search_path') from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relname = 'schema_migration' and relkind = 'r' order by nspname limit 1
"""
_APPLIED = "select name from schema_migration"


@cache
def _files(pattern: str) -> frozenset[str]:
    return frozenset(path.name for path in _MIGRATIONS.glob(pattern))


def check(session: Session) -> None:
    """Raises SchemaDiffers where the database is older than this code; what cleans up may come later. Raises psycopg2.Error."""
    if not (applied := _applied(session)):
        raise SchemaDiffers(_where_else(session) or "the database has no tables of Switchboard; run scripts/migrate")
    if missing := sorted(_files("[0-9]*.pre.sql") - applied):
        raise SchemaDiffers(f"the database's schema is older than this code, it lacks {_enumerate(missing)}; run scripts/migrate")


def _where_else(session: Session) -> str | None:
    with session.cursor() as cursor:
        cursor.execute(_ELSEWHERE)
        found = cursor.fetchone()
    if found is None:
        return None
    schema, path = found
    return (
        f"the tables of Switchboard are in the schema {schema}, and search_path is {path or 'empty'}; correct it, in "
        "DATABASE_URL's options, PGOPTIONS or for its user (alter role … set search_path)"
    )


def newest() -> int:
    """The number of this code's newest migration: a later release has a higher one."""
    return max(map(_number, _files("[0-9]*.sql")))


def newest_post(session: Session) -> int:
    """The number of the newest post file that the database has: code without it may need what that removed."""
    return max((_number(name) for name in _applied(session) if name.endswith(".post.sql")), default=0)


def _number(name: str) -> int:
    return int(name.partition("_")[0])


def _check_both_ways(session: Session) -> None:
    check(session)
    if newer := what_is_newer(session):
        raise SchemaDiffers(newer)


def what_is_newer(session: Session, files: str = ".sql") -> str | None:
    """Says so where the database has such migrations of a later release; its post files remove what this code may need."""
    if unknown := sorted(name for name in _applied(session) - _files("[0-9]*.sql") if name.endswith(files)):
        return f"the database's schema is newer than this code, it has {_enumerate(unknown)}; run the release that migrated it"
    return None


def _applied(session: Session) -> set[str]:
    with session.cursor() as cursor:
        cursor.execute(_IS_OURS)
        [[table]] = cursor.fetchall()
        if table is None:
            return set()
        cursor.execute(_APPLIED)
        return {name for (name,) in cursor.fetchall()}


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


class SchemaAge:
    """Explains errors of a process's statements. `open_one`: another session, for that of the error may be in a transaction."""

    def __init__(self, open_one: Callable[[], Session]) -> None:
        self._open_one = open_one
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._latest: SchemaDiffers | None = None

    def explain(self, problem: BaseException) -> SchemaDiffers | None:
        """What is really wrong; None if it is the statement, as far as can be found out."""
        state = getattr(getattr(problem, "orig", problem), "pgcode", None) or ""
        if not state.startswith(_EXPLAINED) or kind_of(problem) is not None:
            return None
        with self._asking:
            if time.monotonic() >= self._asked_at + FRESH:
                self._latest = self._ask()
                self._asked_at = time.monotonic()
            return self._latest

    def _ask(self) -> SchemaDiffers | None:
        try:
            with closing(self._open_one()) as session:
                _check_both_ways(session)
        except SchemaDiffers as differs:
            return differs
        except psycopg2.Error:  # then nobody knows, and what the statement's error says has to do
            return None
        return None
