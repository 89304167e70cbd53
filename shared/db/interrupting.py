"""Ctrl-C and SIGTERM end the statement that PostgreSQL works on, however long it takes.

libpq waits in C, where no handler of Python runs. And PostgreSQL does not miss a client that is gone: a statement that waits for
a lock would go on waiting, and everybody who wants the same table would wait behind it.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2

from shared.db.session import Session

#: How soon PostgreSQL looks whether the client of a running statement is still there.
_MISSED_AFTER = "2s"
#: Seconds that it has to end a statement when it is told to; then the connection is cut.
_PATIENCE = 3.0


@contextmanager
def interruptible(session: Session) -> Iterator[None]:
    """A signal that has a handler ends the session's statement with an error, and then the handler runs."""
    with suppress(psycopg2.DataError), session.cursor() as cursor:  # PostgreSQL 14 can look on Linux only
        cursor.execute("select set_config('client_connection_check_interval', %s, false)", [_MISSED_AFTER])
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    arriving, signalled = socket.socketpair()
    signalled.setblocking(False)
    before = signal.set_wakeup_fd(signalled.fileno())
    helper = threading.Thread(target=_interrupt, args=(session, arriving), name="db-interrupt", daemon=True)
    helper.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        signalled.close()
        helper.join(_PATIENCE)
        arriving.close()


def _interrupt(session: Session, arriving: socket.socket) -> None:
    """At the first signal; without one until the other end is closed."""
    with suppress(OSError):  # closed meanwhile
        if arriving.recv(1):
            session.give_up(_PATIENCE)
