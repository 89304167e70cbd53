"""The pool of connections, and their scopes.

A connection is held for the length of a `connection()` or `transaction()` block and no longer: never during an HTTP call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg2
import psycopg2.extensions
from peewee import DatabaseError, DatabaseProxy
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from shared.config import Settings, settings
from shared.errors import ServiceDown

T = TypeVar("T")

#: What the models are bound to; `connect()` gives it the pool.
proxy = DatabaseProxy()

#: Seconds to wait for a free connection before the caller is told that the pool is too small.
POOL_TIMEOUT = 30
#: Seconds until a connection attempt to a silent host is given up.
CONNECT_TIMEOUT = 5
#: Seconds after its last use for which a connection is not pinged: the next statement notices a server that went away.
TRUSTED_FOR = 1.0

_connecting = threading.Lock()


#: How our sessions plan: each statement touches a few rows by an index, on a table that may be empty when the plan is made
#: and huge when it runs. A plan suits any values, and is kept (shared/db/prepared.py).
_PLANNING = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
#: PostgreSQL keeps a plan that was made on an empty table until the table is analyzed, a minute later. So a session discards
#: its plans after a statement that took this long (about as long as planning takes), but not more often than every 2 s.
SLOW_STATEMENT, REPLAN_EVERY = 0.005, 2.0


class Session(psycopg2.extensions.connection):
    """A connection that knows which statements it has prepared, and since when its plans are kept."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.prepared: set[str] = set()
        self.planned = self.used = time.monotonic()
        self.suspect = False

    def record_duration(self, seconds: float) -> None:
        """Notes how long a prepared statement took."""
        self.suspect = self.suspect or seconds > SLOW_STATEMENT

    def should_replan(self) -> bool:
        """Whether to discard the plans now; a True starts the next interval."""
        now = time.monotonic()
        bad = self.suspect and now - self.planned > REPLAN_EVERY
        if bad:
            self.planned, self.suspect = now, False
        return bad


class Pool(PooledPostgresqlDatabase):  # type: ignore[misc]  # playhouse has no types
    """peewee's pool; a broken connection leaves it instead of being handed out again."""

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Runs a statement. Its errors do not repeat the values that PostgreSQL quotes: those are customers' words."""
        try:
            return super().execute_sql(sql, params)
        except DatabaseError as problem:
            raise _redacted(problem) from None

    def _is_closed(self, conn: Session) -> bool:
        """peewee pings at each check-out, a round trip for every statement; a connection that was just used is trusted."""
        if conn.closed or time.monotonic() - conn.used < TRUSTED_FOR:
            return bool(conn.closed)
        return bool(super()._is_closed(conn))

    def _can_reuse(self, conn: Session) -> bool:
        conn.used = time.monotonic()
        return bool(super()._can_reuse(conn))


def _redacted(problem: DatabaseError) -> DatabaseError:
    """The same error without statement, row and parameter (LINE, DETAIL, CONTEXT)."""
    reported = getattr(problem, "orig", None)
    text = getattr(getattr(reported, "diag", None), "message_primary", None)
    if not text:  # not PostgreSQL's, but the connection's
        return problem
    plain = type(problem)(f"{text} (SQLSTATE {getattr(reported, 'pgcode', None)})")
    plain.orig = reported  # type: ignore[attr-defined]  # peewee's own place for it
    return plain


def connect(conf: Settings | None = None) -> Pool:
    """The process's pool; made on first use."""
    with _connecting:
        if proxy.obj is None:
            conf = conf or settings()
            parameters = _parameters(conf.database_url)
            # No autoconnect: a query outside `connection()` would keep a connection for as long as its thread lives.
            proxy.initialize(Pool(max_connections=conf.db_pool_size, timeout=POOL_TIMEOUT, autoconnect=False, **parameters))
    return cast(Pool, proxy.obj)


def listener(channel: str) -> psycopg2.extensions.connection:
    """A connection beside the pool that receives this channel's notifications; the caller closes it."""
    parameters = _parameters(settings().database_url)
    listening: psycopg2.extensions.connection = psycopg2.connect(**parameters)
    listening.autocommit = True
    listening.cursor().execute(f"listen {channel}")
    return listening


def reset() -> None:
    """Closes the pool; the next use connects anew, with the settings of that time."""
    with _connecting:
        if proxy.obj is not None:
            proxy.obj.close_all()
            proxy.initialize(None)


def _parameters(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    credentials = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    return {
        "database": unquote(parts.path.lstrip("/")),
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "switchboard",
        "connection_factory": Session,
        "options": _PLANNING,
        # A half-dead network must not hold a worker thread for the kernel's two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **{name: unquote(value) if isinstance(value, str) else value for name, value in credentials.items() if value},
        **dict(parse_qsl(parts.query)),
    }


@contextmanager
def connection() -> Iterator[Pool]:
    """A connection for the length of the block; nested blocks share it."""
    database = connect()
    if not database.is_closed():
        yield database
        return
    try:
        database.connect()
    except MaxConnectionsExceeded as problem:
        raise ServiceDown(
            f"none of DB_POOL_SIZE={settings().db_pool_size} connections was free for {POOL_TIMEOUT} s"
        ) from problem
    try:
        yield database
    finally:
        _give_back(database)


def _give_back(database: Pool) -> None:
    broken = database.connection().closed
    if broken:
        database.manual_close()
    else:
        database.close()


@contextmanager
def transaction() -> Iterator[Pool]:
    """A transaction for the length of the block."""
    with connection() as database, database.atomic():
        yield database


def in_transaction() -> bool:
    """Whether this thread has a transaction open: then nothing may be enqueued."""
    return proxy.obj is not None and bool(proxy.obj.in_transaction())
