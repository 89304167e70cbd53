"""Whether PostgreSQL takes writes, found out by one: a server that answers may be read only or full, or a table locked."""

from __future__ import annotations

from peewee import OperationalError, fn
from psycopg2.errors import LockNotAvailable

from shared import db
from shared.errors import ServiceDown
from shared.models import Readiness

#: 10,000 rows are more than the memory that it gets, and go to a file. The write of a row that is there needs no room on the
#: disk, and succeeds when nobody's new message does any more.
_NEEDS_ROOM = "select count(*) from generate_series(1, 10000)"
#: The lock that each write of a message takes. VACUUM FULL, CREATE INDEX or a migration by hand keeps everybody from it, and so
#: does one that only waits for its turn.
_NEEDS_TABLES = "lock table message, conversation, job in row exclusive mode"
#: A lock that is held for a moment is nothing to tell.
_LOCK_TIMEOUT = "1s"
LOCKED = "a table that messages are written to is locked; pg_locks and pg_stat_activity say by whom"


def check() -> None:
    """Commits a write, which ends an outage. Raises ServiceDown, which says why there was none, and psycopg2.Error."""
    now = fn.clock_timestamp()
    write = Readiness.insert(id=1, checked_at=now).on_conflict(conflict_target=[Readiness.id], update={Readiness.checked_at: now})
    db.retry_on_outage(lambda: db.rows(write), seconds=0.0)
    with db.transaction() as database:
        database.execute_sql(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
        try:
            database.execute_sql(_NEEDS_TABLES)
        except OperationalError as problem:
            if not isinstance(getattr(problem, "orig", None), LockNotAvailable):
                raise
            raise ServiceDown(LOCKED) from None
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
