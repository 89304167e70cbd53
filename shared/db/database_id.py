"""Which database DATABASE_URL leads to: the same on a standby, and after a failover to it.

Others have another id, but for branches and copies of a server's files (a snapshot that is started): whoever compares learns too
little then, and nothing wrong.
"""

from __future__ import annotations

from shared.db.query import scalar

#: Everybody may ask, unless a provider has forbidden it.
_MAY_ASK = "select has_function_privilege(to_regprocedure('pg_catalog.pg_control_system()'), 'execute')"
_ID = """
    select system_identifier || '/' || pg_database.oid from pg_control_system(), pg_database where datname = current_database()
"""


def database_id() -> str | None:
    """The server's number and that of the database in it; None where it may not be asked."""
    return str(scalar(_ID)) if scalar(_MAY_ASK) else None
