"""scripts/migrate: brings a database to the newest schema. Safe to repeat.

An empty database gets schema.sql; an older one the files of shared/db/migrations that it lacks, in the order of their
numbers. NNNN_name.pre.sql suits the workers of the last release and of this one; NNNN_name.post.sql, beside it, takes away what
only the last release needed, and waits for --post, or for a later release. A release may bring several of each.
On a platform it is the release phase: python -m scripts.commands.migrate, with DATABASE_URL.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege, InvalidSchemaName, LockNotAvailable, ReadOnlySqlTransaction

from scripts.local.embedded import resolved_environment
from scripts.local.folders import data_folder
from scripts.local.programs import ServiceFailed
from scripts.local.terminal import OF_URL, embedded, unreachable, wait_for_signal
from shared import database_url as urls
from shared.db.connecting import open_session
from shared.db.giving_way import give_up_soon, give_way
from shared.db.interrupting import interruptible
from shared.db.session import MIGRATION
from shared.teaching import common_words

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schema.sql"
VECTORS = ROOT / "shared" / "db" / "vectors.sql"
MIGRATIONS = ROOT / "shared" / "db" / "migrations"
MIGRATIONS_BEGIN = "0001_initial.pre.sql"
#: Two releases at once take turns; the number is ours.
LOCK = 7_217_000

RECORD = """
    create table if not exists schema_migration (
        name text primary key, applied_at timestamptz not null default now())
"""
_HAS_PGVECTOR = """
    select exists (select from pg_available_extensions
                   where name = 'vector' and string_to_array(default_version, '.')::integer[] >= '{0,7}')
"""
_WANTS_VECTORS = "select exists (select from knowledge_base where embedding_model is not null)"
NO_PGVECTOR = "this PostgreSQL lacks the extension vector (pgvector), 0.7 or newer"
#: Of the schema in which tables are made: `public`, unless the URL's options or the role's search_path say otherwise.
_IS_EMPTY = """
    select not exists (select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
                       where nspname = current_schema() and relkind = 'r')
"""


#: What a migration that did not come to its end means.
NOTHING_HALF = "Nothing is half done: run it again, and it goes on with what is still missing."


class Interrupted(psycopg2.OperationalError):
    """The connection ended in the middle, or PostgreSQL could not go on: nothing is wrong with what was being applied."""


def migrate(database_url: str, post: bool = False) -> list[str]:
    """Applies what is missing, each file in a transaction of its own; returns the names of what was applied.

    `post`: no worker of an earlier release is left. Raises ValueError for a wrong URL, psycopg2.Error, among them Interrupted.
    """
    with _session(database_url) as cursor:
        with _turn(cursor):
            cursor.execute(_IS_EMPTY)
            [[is_empty]] = cursor.fetchall()
            cursor.execute(RECORD)
            due = [] if is_empty else _due(_applied(cursor), post)
            applied = _create(cursor) if is_empty else []
        applied += [path.name for path in due if _apply(cursor, path)]
        _apply_vectors(cursor)
        return applied


def migrate_and_fill(database_url: str, post: bool = False) -> list[str]:
    """The same, and the words that are common in each language: some seconds, once for each version of their package."""
    applied = migrate(database_url, post)
    with _session(database_url) as cursor, _turn(cursor):
        languages = common_words.load(cursor)
    return [*applied, f"common words: {len(languages)} languages"] if languages else applied


def migrations() -> list[Path]:
    """The files in the order in which they apply: 0002_x.pre.sql, 0002_x.post.sql, 0003_y.pre.sql, …"""
    return sorted(MIGRATIONS.glob("[0-9]*.sql"), key=lambda path: (path.name.split("_")[0], _is_post(path)))


@contextmanager
def _session(database_url: str) -> Iterator[Any]:
    """A connection's cursor."""
    with (
        closing(open_session(database_url, MIGRATION, planning={})) as session,
        interruptible(session),
        session.cursor() as cursor,
    ):
        try:
            yield cursor
        except psycopg2.OperationalError as problem:
            raise Interrupted(str(problem).strip()) from problem


@contextmanager
def _turn(cursor: Any) -> Iterator[None]:
    """A transaction; those of two releases take turns. The lock ends with it, also on a connection that a pooler keeps."""
    cursor.execute("begin")
    try:
        cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        yield
        cursor.execute("commit")
    except BaseException:
        with suppress(psycopg2.Error):  # the connection may be what failed
            cursor.execute("rollback")
        raise


def _create(cursor: Any) -> list[str]:
    cursor.execute(SCHEMA.read_text(encoding="utf-8"))
    for path in migrations():
        _record(cursor, path)
    return [SCHEMA.name]


def _applied(cursor: Any) -> set[str]:
    cursor.execute("select name from schema_migration")
    applied = {name for (name,) in cursor.fetchall()}
    if MIGRATIONS_BEGIN not in applied:
        raise psycopg2.DatabaseError(f"this database was not made by {SCHEMA.name} or {MIGRATIONS_BEGIN}; empty it first")
    return applied


def _due(applied: set[str], post: bool) -> list[Path]:
    """What to apply now. A new release brings a pre file; then workers of the release before the last are gone."""
    missing = [path for path in migrations() if path.name not in applied]
    is_new_release = not all(_is_post(path) for path in missing)
    return [
        path
        for path in missing
        if post or not _is_post(path) or (is_new_release and path.name.replace(".post.", ".pre.") in applied)
    ]


def _is_post(path: Path) -> bool:
    return path.name.endswith(".post.sql")


def _apply(cursor: Any, path: Path) -> bool:
    """Applies a file, unless another release did meanwhile."""

    def apply() -> bool:
        with _turn(cursor):
            if path.name in _applied(cursor):
                return False
            give_up_soon(cursor)
            cursor.execute(path.read_text(encoding="utf-8"))
            _record(cursor, path)
            return True

    return give_way(cursor, apply, partial(_say, path.name))


def _apply_vectors(cursor: Any) -> None:
    """What needs pgvector, where it is. Where it is not, and a knowledge base wants vectors, says so."""

    def apply() -> None:
        with _turn(cursor):
            cursor.execute("savepoint vectors")
            try:
                problem = None if _is_true(cursor, _HAS_PGVECTOR) else NO_PGVECTOR
                if problem is None:
                    give_up_soon(cursor)
                    cursor.execute(VECTORS.read_text(encoding="utf-8"))
            except LockNotAvailable:
                raise
            except psycopg2.Error as error:
                cursor.execute("rollback to savepoint vectors")
                problem = str(error).splitlines()[0]
            if problem and _is_true(cursor, _WANTS_VECTORS):
                _say("no vectors, so knowledge is searched by words alone", problem)

    give_way(cursor, apply, partial(_say, VECTORS.name))


def _say(about: str, what: str) -> None:
    print(f"migrate: {about}: {what}", file=sys.stderr, flush=True)


def _is_true(cursor: Any, question: str) -> bool:
    cursor.execute(question)
    [[answer]] = cursor.fetchall()
    return bool(answer)


def _record(cursor: Any, path: Path) -> None:
    cursor.execute("insert into schema_migration (name) values (%s)", [path.name])


def main() -> int:
    """Migrates DATABASE_URL, or the embedded database."""
    parser = argparse.ArgumentParser(
        prog="scripts/migrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--post", action="store_true", help="no worker of an earlier release runs any more")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        applied = _migrate_somewhere(arguments.post)
    except KeyboardInterrupt:
        print(f"migrate: stopped by a signal. {NOTHING_HALF}", file=sys.stderr)
        return 1
    except (psycopg2.Error, ValueError, ServiceFailed) as problem:
        print(f"migrate: {why_not(problem, None if os.environ.get('DATABASE_URL') else data_folder())}", file=sys.stderr)
        return 1
    print("migrate: applied " + ", ".join(applied) if applied else "migrate: the schema is up to date", flush=True)
    if _is_beside_others():
        _stay()
    return 0


def _migrate_somewhere(post: bool) -> list[str]:
    """Migrates, and says which database. Raises ValueError if DATABASE_URL is none."""
    url = os.environ.get("DATABASE_URL")
    if url:
        print(f"migrate: DATABASE_URL: {_place(urls.parse(urls.check(url)))}", flush=True)
        return migrate_and_fill(url, post)
    print(f"migrate: DATABASE_URL is not set: {embedded(data_folder())}", flush=True)
    with resolved_environment(data_folder(), announce=False) as environment:
        return migrate_and_fill(environment["DATABASE_URL"], post)


def _place(where: Mapping[str, str]) -> str:
    """Which database, as far as the URL says it; the rest is in a service's file, or libpq's own default."""
    if service := where.get("service") or ("host" not in where and os.environ.get("PGSERVICE")):
        return f"the service {service}"
    place = ", ".join(where.get(name, "") for name in ("host", "port") if where.get(name)) or "this machine"
    return f"database {where.get('dbname', where.get('user', ''))} at {place}"


def why_not(problem: Exception, embedded_in: Path | None = None) -> str:
    """What a migration's failure means. `embedded_in`: of the embedded database in this folder, not of DATABASE_URL's."""
    if isinstance(problem, Interrupted):
        return f"stopped in the middle: {problem}\n{NOTHING_HALF}"
    if isinstance(problem, psycopg2.OperationalError):
        return unreachable(problem, embedded(embedded_in) if embedded_in else OF_URL)
    if isinstance(problem, psycopg2.Error) and embedded_in:  # its role and its settings are ours
        return f"a migration of {embedded(embedded_in)} failed and was rolled back: {problem}"
    if isinstance(problem, InsufficientPrivilege):
        return (
            f"the role of DATABASE_URL lacks a right: {problem.diag.message_primary}. Migrate as the role that owns the tables; "
            "it must be able to make more: grant create on schema public to … (since PostgreSQL 15 only the database's owner is)."
        )
    if isinstance(problem, InvalidSchemaName):
        return (
            f"search_path names no schema that is there ({problem.diag.message_primary}). Correct it in DATABASE_URL's options, "
            "PGOPTIONS or for its user (alter role … set search_path), or make the schema."
        )
    if isinstance(problem, ReadOnlySqlTransaction):
        return (
            f"the database takes no writes: {problem.diag.message_primary}. Either DATABASE_URL leads to a standby, or "
            "default_transaction_read_only is on, in its options, for its user or for the database."
        )
    if isinstance(problem, psycopg2.Error):
        return f"a migration failed and was rolled back: {problem}"
    return f"DATABASE_URL: {problem}" if isinstance(problem, ValueError) else str(problem)


def _is_beside_others() -> bool:
    """Whether honcho or foreman runs this as the Procfile's `release`, together with all other lines."""
    name = os.environ.get("HONCHO_PROCESS_NAME") or os.environ.get("PS", "")
    return name.startswith("release.") and "DYNO" not in os.environ


def _stay() -> None:
    """Until SIGTERM: honcho and foreman end everything as soon as one process has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    print("migrate: waits, because honcho and foreman stop all processes when one ends", flush=True)
    wait_for_signal()


if __name__ == "__main__":
    sys.exit(main())
