"""scripts/migrate: brings a database to the newest schema, by the numbered files of shared/db/migrations. Safe to repeat.

On a platform it is the release phase: python -m scripts.commands.migrate, with DATABASE_URL.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import psycopg2

from scripts.local.terminal import no_arguments, unreachable

MIGRATIONS = Path(__file__).parents[2] / "shared" / "db" / "migrations"
#: Two releases at once take turns; the number is ours.
LOCK = 7_217_000

_RECORD = """
    create table if not exists schema_migration (
        version integer primary key, name text not null, applied_at timestamptz not null default now())
"""


def migrate(database_url: str) -> list[str]:
    """Applies what is missing, each file in a transaction of its own; returns the names of those files."""
    connection = psycopg2.connect(database_url, connect_timeout=10)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", [LOCK])
            cursor.execute(_RECORD)
            cursor.execute("select version from schema_migration")
            known = {version for (version,) in cursor.fetchall()}
            return [_apply(cursor, path) for path in sorted(MIGRATIONS.glob("[0-9]*.sql")) if _version(path) not in known]
    finally:
        connection.close()


def _version(path: Path) -> int:
    return int(path.name.split("_")[0])


def _apply(cursor: Any, path: Path) -> str:
    cursor.execute("begin")
    try:
        cursor.execute(path.read_text())
        cursor.execute("insert into schema_migration (version, name) values (%s, %s)", [_version(path), path.stem])
        cursor.execute("commit")
    except Exception:
        cursor.execute("rollback")
        raise
    return path.stem


def main() -> int:
    """Migrates DATABASE_URL, or the embedded database."""
    no_arguments("migrate", __doc__)
    try:
        applied = _migrate_somewhere()
    except psycopg2.OperationalError as problem:
        print(f"migrate: {unreachable(problem)}", file=sys.stderr)
        return 1
    except psycopg2.Error as problem:
        print(f"migrate: a migration failed and was rolled back: {problem}", file=sys.stderr)
        return 1
    print("migrate: applied " + ", ".join(applied) if applied else "migrate: the schema is up to date")
    return 0


def _migrate_somewhere() -> list[str]:
    if os.environ.get("DATABASE_URL"):
        return migrate(os.environ["DATABASE_URL"])
    from scripts.local.embedded import resolved_environment  # not installed on a platform

    with resolved_environment() as environment:
        return migrate(environment["DATABASE_URL"])


if __name__ == "__main__":
    sys.exit(main())
