"""A connection to PostgreSQL, whose every statement has a deadline on our side.

A network that forgets a connection tells nobody, and what acknowledges in between (a pooler, a load balancer) keeps TCP
content for ever. So a watchdog shuts the socket of a statement that is overdue, and whoever waits for it gets an error.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import psycopg2
import psycopg2.extensions

from shared.db.outage import Consequence, StatementOverdue, kind_of

log = logging.getLogger(__name__)

#: PostgreSQL keeps a plan that was made on an empty table until the table is analyzed, a minute later. So a session discards
#: its plans after a statement that took this long (about as long as planning takes), but not more often than every 2 s.
SLOW_STATEMENT, REPLAN_EVERY = 0.005, 2.0


@dataclass(frozen=True)
class Limits:
    """How long this process waits for PostgreSQL, in seconds: for a statement, a connection attempt, its turn in the pool."""

    statement: float
    connect: int
    turn: float


#: Seconds that an answer may take to arrive, beyond those after which PostgreSQL ends the statement.
ON_ITS_WAY = 1.0
#: Shorter than a lease, so that a connection that died costs none; long for the fast path, whose statements take milliseconds.
WORKER = Limits(statement=8, connect=5, turn=30)
#: Somebody waits for the answer, and a channel that gets a 503 in time sends the same again.
WEB = Limits(statement=3, connect=2, turn=3)
#: Seconds for a report of the web process that counts much (db.patient): usage, metrics.
REPORT = 20.0
#: An operator has patience, and may ask for much.
COMMAND = Limits(statement=600, connect=5, turn=30)
#: A migration may rewrite a table.
MIGRATION = Limits(statement=86_400, connect=5, turn=30)


class Session(psycopg2.extensions.connection):
    """A connection that knows what it has prepared, whether it may still be used, and when its statement is overdue."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        try:
            super().__init__(*arguments, **named)
        except BaseException:
            super().close()  # or the server waits for us for as long as somebody keeps the error, whose traceback keeps this
            raise
        self.cursor_factory = Cursor
        self.autocommit = True
        self.prepared: set[str] = set()
        self.opened = self.planned = self.used = time.monotonic()
        self.suspect = False
        #: Whether an error said "not with this connection".
        self.unusable = False
        #: Seconds that a statement may take, its way included.
        self.patience = inf
        self.was_cut = False
        self._due = inf
        self._cutting = threading.Lock()
        # A handle of our own: libpq closes its own at an error, and the number may be another connection's a moment later.
        self._socket = socket.socket(fileno=os.dup(self.fileno()))
        watchdog.watch(self)

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

    def set_limit(self, seconds: float) -> None:
        """Has PostgreSQL end statements after so many seconds; we give them up a little later.

        The statement that says so has the shorter of the old and the new time: the server may be silent.
        """
        patience = seconds + ON_ITS_WAY
        self.patience = min(self.patience, patience)
        self.cursor().execute("select set_config('statement_timeout', %s, false)", [f"{int(seconds * 1000)}ms"])
        self.patience = patience

    def answers(self, seconds: float, statement: str = "select 1") -> bool:
        """Whether the server answers a statement within so many seconds."""
        patience, self.patience = self.patience, min(self.patience, seconds)
        try:
            self.cursor().execute(statement)
        except psycopg2.Error:
            return False
        finally:
            self.patience = patience
        return True

    def has_ended(self) -> bool:
        """Whether the server hung up, as far as can be told without asking it."""
        if self.closed or self.unusable:
            return True
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # between statements it has nothing to say but goodbye

    def begin_statement(self) -> None:
        """Starts the deadline of a statement."""
        self._due = time.monotonic() + self.patience

    def end_statement(self) -> None:
        """Ends the deadline."""
        with self._cutting:
            self._due = inf

    @property
    def is_overdue(self) -> bool:
        """Whether the running statement has passed its deadline."""
        return time.monotonic() > self._due

    def cut(self) -> None:
        """Ends the connection under a statement that is overdue; whoever waits for its answer gets an error."""
        with self._cutting:
            if self.is_overdue:
                self.was_cut = self.unusable = True
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def give_up(self, seconds: float) -> None:
        """From another thread: PostgreSQL is to end the statement that runs now, and has so many seconds for it."""
        with self._cutting:
            self._due = min(self._due, time.monotonic() + seconds) if self._due < inf else inf
        with suppress(psycopg2.Error):
            self.cancel()

    def close(self) -> None:
        """As psycopg2's."""
        watchdog.forget(self)
        super().close()
        self._socket.close()


class Cursor(psycopg2.extensions.cursor):
    """Runs a statement under its session's deadline, and draws the consequences of its errors for the session."""

    def execute(self, query: Any, vars: Any = None) -> None:
        """As psycopg2's. Raises StatementOverdue."""
        with self._deadline():
            super().execute(query, vars)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """As psycopg2's. Raises StatementOverdue."""
        with self._deadline():
            super().copy_expert(sql, file, size)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        session = self.connection
        assert isinstance(session, Session)
        session.begin_statement()
        try:
            yield
        except psycopg2.Error as problem:
            kind = kind_of(problem)
            session.unusable = session.unusable or (kind is not None and kind.consequence is Consequence.RECONNECT)
            if session.was_cut:
                raise StatementOverdue(f"no answer within {session.patience:.0f} s") from problem
            if session.closed and kind is None:  # psycopg2 has no better word for some of libpq's failures
                session.unusable = True
                raise psycopg2.OperationalError(str(problem)) from problem
            raise
        finally:
            session.end_statement()


class Watchdog:
    """Looks after the process's sessions once a second, while there are any: one thread, and no cost to a statement."""

    TICK = 1.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: set[Session] = set()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None
        #: What else is done at each tick.
        self.chores: list[Callable[[], None]] = []

    def watch(self, session: Session) -> None:
        """Watches a session until `forget`."""
        with self._lock:
            self._sessions.add(session)
            self._some.set()
            if self._thread is None or not self._thread.is_alive():  # the first one, also of a process that was forked
                self._thread = threading.Thread(target=self._run, name="db-watchdog", daemon=True)
                self._thread.start()

    def forget(self, session: Session) -> None:
        """Stops watching a session, which is closed."""
        with self._lock:
            self._sessions.discard(session)
            if not self._sessions:
                self._some.clear()

    def _run(self) -> None:
        while self._some.wait():
            time.sleep(self.TICK)
            with self._lock:
                sessions = list(self._sessions)
            for session in sessions:
                if session.is_overdue:
                    session.cut()
            for chore in list(self.chores):
                try:
                    chore()
                except Exception:  # what is next depends on this thread
                    log.exception("session_chore_failed")


watchdog = Watchdog()
