"""Whether PostgreSQL takes writes, found out by one: a server that answers may be read only or full."""

from __future__ import annotations

from peewee import fn

from shared import db
from shared.models import Readiness

#: 10,000 rows are more than the memory that it gets, and go to a file. The write of a row that is there needs no room on the
#: disk, and succeeds when nobody's new message does any more.
_NEEDS_ROOM = "select count(*) from generate_series(1, 10000)"


def check() -> None:
    """Commits a write, which ends an outage. Raises ServiceDown, which says why there was none, and psycopg2.Error."""
    now = fn.clock_timestamp()
    write = Readiness.insert(id=1, checked_at=now).on_conflict(conflict_target=[Readiness.id], update={Readiness.checked_at: now})
    db.retry_on_outage(lambda: db.rows(write), seconds=0.0)
    with db.transaction() as database:
        database.execute_sql("set local work_mem = '64kB'")
        database.execute_sql(_NEEDS_ROOM)
    db.outage.over()


def look_again() -> None:
    """Checks where writes have been refused: nothing else tells that they are taken again."""
    try:
        check()
    except Exception as problem:
        if not db.is_passing(problem):
            raise
        db.outage.noticed(problem)
