"""Whether PostgreSQL takes writes, found out by one: a server that answers may be read only, full, or short of connections.

And whether this code can write there: a new release that starts before its migration must not get the traffic of the last one.
"""

from __future__ import annotations

from peewee import fn

from shared import db
from shared.db import schema_age
from shared.models import Readiness

CROWDED = "no connection left; processes take turns. Lower DB_POOL_SIZE, run fewer processes, or raise max_connections"


#: 10,000 rows are more than the memory that it gets, and go to a file. The write of a row that is there needs no room on the
#: disk, and succeeds when nobody's new message does any more.
_NEEDS_ROOM = "select count(*) from generate_series(1, 10000)"


def postgres_write() -> str:
    """Commits a write; returns "ok", or what nevertheless slows work down. Raises ServiceDown, which says why there was none,
    and psycopg2.Error.
    """
    now = fn.clock_timestamp()
    write = Readiness.insert(id=1, checked_at=now).on_conflict(conflict_target=[Readiness.id], update={Readiness.checked_at: now})
    db.retry_on_outage(lambda: db.rows(write), seconds=0.0)
    with db.transaction() as database:
        schema_age.check(database.session)
        outdated = schema_age.what_is_newer(database.session, ".post.sql")
        database.execute_sql("set local work_mem = '64kB'")
        database.execute_sql(_NEEDS_ROOM)
    return outdated or (CROWDED if db.connect().sessions.is_crowded else "ok")
