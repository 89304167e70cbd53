"""Whether messages can be accepted: PostgreSQL takes writes, of this code, and has connections left.

A new release that starts before its migration must not get the traffic of the last one.
"""

from __future__ import annotations

from shared import db
from shared.db import schema_age
from shared.jobs import write_check

CROWDED = "no connection left; processes take turns. Lower DB_POOL_SIZE, run fewer processes, or raise max_connections"


def postgres_write() -> str:
    """Commits a write; returns "ok", or what nevertheless slows work down. Raises ServiceDown, which says why there was none,
    and psycopg2.Error.
    """
    write_check.check()
    with db.connection() as database:
        schema_age.check(database.session)
        outdated = schema_age.what_is_newer(database.session, ".post.sql")
    return outdated or (CROWDED if db.connect().sessions.is_crowded else "ok")
