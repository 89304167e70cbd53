"""Every statement in every .sql file is one that PostgreSQL can plan, on our schema, without reading a growing table whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared import db
from shared.db import sql
from tests.builders import World

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for room in ("shared", "workers", "web")
    for path in (ROOT / room).rglob("*.sql")
    if path.parent.name != "migrations" and path.name != "vectors.sql"  # no queries: what scripts/migrate applies
)
GROWING = (
    *("conversation", "message", "job", "webhook_event", "usage_log", "parked_status", "parked_change", "inbound_reject"),
    *("parked_reaction", "contact", "contact_identity"),
)
#: Statements that are meant to look through all rows: an operator asks, not a message.
WHOLE_TABLE = {"queue_stats"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_statement_is_planned_by_indexes(world: World, file: Path) -> None:
    for name, query in sql.load(str(file.with_suffix(".py"))).items():
        with db.connection() as database:
            if query.takes_rows:
                database.execute_sql(f"prepare explained (jsonb) as {query.text}")
                cursor = database.execute_sql("explain execute explained ('[]')")
            else:
                cursor = database.execute_sql(f"explain {query.sql}", dict.fromkeys(query.parameters))
            plan = "\n".join(row[0] for row in cursor.fetchall())
            database.execute_sql("deallocate all")
        whole = set(re.findall(r"Seq Scan on (\w+)", plan)) & set(GROWING)
        assert not whole or name in WHOLE_TABLE, f"{query.where} reads {whole} whole:\n{plan}"


def test_there_are_files(root: Path) -> None:
    assert len(FILES) >= 10
