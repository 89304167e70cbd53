"""Peewee's database on the process's sessions, and the scopes in which a thread has one.

A connection is held for the length of a `connection()` or `transaction()` block and no longer: never during an HTTP call.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from io import RawIOBase
from typing import Any, cast

from peewee import DatabaseError, DatabaseProxy, OperationalError, PostgresqlDatabase
from peewee import __exception_wrapper__ as peewees_errors  # type: ignore[attr-defined]  # not in its stubs

from shared.config import Settings, settings
from shared.db.connecting import free_connections, open_session
from shared.db.outage import SchemaDiffers
from shared.db.schema_age import SchemaAge
from shared.db.session import COMMAND, ON_ITS_WAY, Limits, Session, watchdog
from shared.db.sessions import Sessions

#: The class of SQLSTATEs whose words may quote a value: invalid input syntax for type bigint: "…".
_ABOUT_A_VALUE = "22"
_QUOTED = re.compile('".*"', re.S)
#: What the models are bound to; `connect()` gives it the pool.
proxy = DatabaseProxy()

_connecting = threading.Lock()
_limits = COMMAND


class Pool(PostgresqlDatabase):
    """peewee's database; a thread has one of the process's sessions while it is connected."""

    def __init__(self, sessions: Sessions, schema_age: SchemaAge) -> None:
        # No autoconnect: a query outside `connection()` would keep a connection for as long as its thread lives.
        super().__init__("switchboard", autoconnect=False)
        self.sessions, self._schema_age = sessions, schema_age
        self._lock = nullcontext()  # what it guards is each thread's own, and to connect may take seconds

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Runs a statement. Its errors do not repeat the values that PostgreSQL quotes: those are customers' words."""
        with self._redacted_errors():
            return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]

    def copy_in(self, columns: str, rows: RawIOBase) -> None:
        """Adds rows in PostgreSQL's binary form to `columns`, a table with its columns in parentheses.

        For values of megabytes: as a parameter one takes ten times its size there and here, for it becomes a literal.
        """
        with self._redacted_errors(), peewees_errors:
            self.session.cursor().copy_expert(f"copy {columns} from stdin (format binary)", rows)

    @contextmanager
    def _redacted_errors(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as problem:
            redacted = _redacted(problem)
            differs = self._schema_age.explain(problem)
            if differs is None:
                raise redacted from None
            raise _as_outage(differs, redacted) from None

    def rollback(self) -> None:
        """Nothing where the connection has ended, and its transaction with it: the error that ended it is the one to raise."""
        if not self.session.has_ended():
            super().rollback()

    @property
    def session(self) -> Session:
        """This thread's."""
        return cast(Session, self.connection())  # type: ignore[no-untyped-call]

    def _connect(self) -> Session:
        return self.sessions.take()

    def _close(self, conn: Session) -> None:
        self.sessions.give_back(conn)


def _redacted(problem: DatabaseError) -> DatabaseError:
    """The same error without statement, row and parameter (LINE, DETAIL, CONTEXT), and without a value that it is about."""
    reported = getattr(problem, "orig", None)
    text = getattr(getattr(reported, "diag", None), "message_primary", None)
    if not text:  # not PostgreSQL's, but the connection's
        return problem
    state = str(getattr(reported, "pgcode", None))
    if state.startswith(_ABOUT_A_VALUE):
        text = _QUOTED.sub('"…"', text)
    plain = type(problem)(f"{text} (SQLSTATE {state})")
    plain.orig = reported  # type: ignore[attr-defined]  # peewee's own place for it
    return plain


def _as_outage(differs: SchemaDiffers, problem: DatabaseError) -> OperationalError:
    outage = OperationalError(f"{differs} ({problem})")
    outage.orig = differs  # type: ignore[attr-defined]
    return outage


def use(limits: Limits) -> None:
    """Sets how long this process waits for PostgreSQL, otherwise as long as a command. To be called before it connects."""
    global _limits  # noqa: PLW0603 - a process has one pool
    _limits = limits


def connect(conf: Settings | None = None) -> Pool:
    """The process's pool; made on first use."""
    with _connecting:
        if proxy.obj is None:
            conf = conf or settings()
            open_one = partial(open_session, conf.database_url, _limits)
            sessions = Sessions(open_one, free_connections, conf.db_pool_size, _limits)
            watchdog.chores.append(sessions.tidy)
            proxy.initialize(Pool(sessions, SchemaAge(open_one)))
    return cast(Pool, proxy.obj)


def listener(channel: str) -> Session:
    """A connection beside the pool that receives this channel's notifications; the caller closes it.

    Nobody tells it when its connection dies in silence: ask now and then whether it `answers`, best to the same `listen`.
    """
    listening = open_session(settings().database_url, _limits)
    listening.cursor().execute(f"listen {channel}")
    return listening


def reset() -> None:
    """Closes the pool; the next use connects again, with the settings of that time."""
    use(COMMAND)
    with _connecting:
        if proxy.obj is not None:
            watchdog.chores.remove(proxy.obj.sessions.tidy)
            proxy.obj.close()
            proxy.obj.sessions.close_all()
            proxy.initialize(None)


@contextmanager
def connection() -> Iterator[Pool]:
    """A connection for the length of the block; nested blocks share it."""
    database = connect()
    if not database.is_closed():
        yield database
        return
    database.connect()
    try:
        yield database
    finally:
        database.close()


@contextmanager
def patient(seconds: float) -> Iterator[Pool]:
    """A connection whose statements may take so many seconds: for those that read many rows."""
    with connection() as database:
        session = database.session
        usual = session.patience - ON_ITS_WAY
        session.set_limit(seconds)
        try:
            yield database
        finally:
            if not session.has_ended():
                session.set_limit(usual)


@contextmanager
def transaction() -> Iterator[Pool]:
    """A transaction for the length of the block."""
    with connection() as database, database.atomic():
        yield database


def is_connected() -> bool:
    """Whether this thread has a connection."""
    return proxy.obj is not None and not proxy.obj.is_closed()


def in_transaction() -> bool:
    """Whether this thread has a transaction open: then nothing may be enqueued."""
    return proxy.obj is not None and bool(proxy.obj.in_transaction())
