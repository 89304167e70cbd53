"""Who stops or deletes what is being stored does not wait for that.

A large document is stored by one statement of a minute, which has locked it meanwhile. So that statement is ended, here, before
its locks are asked for. Its worker begins it anew, waits for whoever has them now, and then finds nothing that it should store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from peewee import OperationalError
from psycopg2.errors import LockNotAvailable

from shared import db
from shared.db import sql
from shared.db.busy import attempts
from shared.errors import ServiceDown

queries = sql.load(__file__)

#: Attempts at a change, for a statement may begin to store just behind the look; and the seconds for which each waits for a lock:
#: enough for PostgreSQL to end a statement on a busy machine, and less than a page waits for an answer (db.WEB).
TRIES, LOCK_TIMEOUT = 5, 2.0
#: Seconds in which PostgreSQL may delete items, each with hundreds of words.
DELETING = 60.0

T = TypeVar("T")


def undisturbed(change: Callable[[], T], *, source_id: int | None = None, base_id: int | None = None) -> T:
    """Makes a change of a source, or of a base with all of its sources, in a transaction.

    Raises ServiceDown if others are at work on it all the time; then nothing has happened.
    """
    for _ in attempts(TRIES):
        try:
            with db.transaction():
                queries["interrupt"].rows(source_id=source_id, base_id=base_id, lock_timeout=f"{LOCK_TIMEOUT * 1000:.0f}ms")
                return change()
        except OperationalError as problem:
            if not isinstance(getattr(problem, "orig", None), LockNotAvailable):
                raise
    raise ServiceDown("others are at work on the same knowledge")
