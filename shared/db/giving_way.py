"""A change of tables does not keep others waiting for a lock that it does not get itself.

PostgreSQL grants locks in the order in which they were asked for. Who wants a table for itself waits for each transaction that
has read it, and whoever comes later waits behind, for the smallest read. So a change gives up soon, lets the others through,
and begins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from psycopg2.errors import LockNotAvailable

from shared.db import sql

queries = sql.load(__file__)

#: Seconds for which a statement waits for a lock. More than the second after which PostgreSQL ends an autovacuum that is in the
#: way (deadlock_timeout), less than visitors wait for an answer (db.WEB).
SOON = 2.0
#: Seconds until a change begins again: at first, and at most.
PAUSES = (2.0, 30.0)

T = TypeVar("T")


def give_up_soon(cursor: Any) -> None:
    """In a transaction: from here on it waits for no lock any longer than that."""
    cursor.execute("select set_config('lock_timeout', %s, true)", [f"{SOON * 1000:.0f}ms"])


def give_way(cursor: Any, change: Callable[[], T], say: Callable[[str], object]) -> T:
    """Runs a change until it gets its locks. When it raises LockNotAvailable its transaction is over, and nothing happened."""
    pause, longest = PAUSES
    while True:
        try:
            return change()
        except LockNotAvailable:
            say(f"no lock within {SOON:.0f} s, so others go first; tried again in {pause:.0f} s. {_who_may_have_it(cursor)}")
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _who_may_have_it(cursor: Any) -> str:
    cursor.execute(queries["oldest_transactions"].sql, {"seconds": SOON})
    found = [f"pid {pid} ({program}{', ' + state if state else ''}{_age(age)})" for pid, program, state, age in cursor.fetchall()]
    return f"The oldest transactions: {', '.join(found)}" if found else "Whoever had it has ended meanwhile"


def _age(seconds: int | None) -> str:
    """Nothing of another role's, of which PostgreSQL does not tell."""
    return "" if seconds is None else f", {seconds} s"
