"""gunicorn's gthread worker, with deadlines for slow clients (slow loris).

gthread waits for the first byte of a request without a thread, and for all others with one, without end: as many connections
that send a byte now and then as there are threads, and nobody else is served.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]  # it has none


class DeadlineSocket(socket.socket):
    """A client's connection: a whole request has to arrive before `deadline`, and a client to read within `send_timeout`."""

    #: Of time.monotonic().
    deadline = 0.0
    #: Seconds.
    send_timeout = 30.0

    def recv(self, *arguments: Any) -> bytes:
        """As a socket's. Raises ConnectionResetError after the deadline."""
        before, left = self.gettimeout(), self.deadline - time.monotonic()
        self.settimeout(max(0.001, left) if before is None else min(before, max(0.0, left)))
        try:
            return super().recv(*arguments)
        except TimeoutError:
            if before is not None:
                raise
            raise ConnectionResetError(errno.ECONNRESET, "the client sent its request too slowly") from None
        finally:
            self.settimeout(before)

    def sendall(self, *arguments: Any) -> None:
        """As a socket's. Raises BrokenPipeError when the client does not read."""
        before = self.gettimeout()
        self.settimeout(self.send_timeout if before is None else before)
        try:
            super().sendall(*arguments)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None
        finally:
            self.settimeout(before)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """For --worker-class. A request with its body has `timeout` seconds to arrive."""

    def handle(self, conn: TConn) -> Any:
        """One request of a connection."""
        if not isinstance(conn.sock, DeadlineSocket):
            conn.sock = DeadlineSocket(fileno=conn.sock.detach())
        conn.sock.send_timeout = float(self.cfg.timeout)
        conn.sock.deadline = time.monotonic() + self.cfg.timeout
        return super().handle(conn)
