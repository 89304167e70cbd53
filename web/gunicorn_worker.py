"""gunicorn's gthread worker, whose threads a slow client does not keep (slow loris).

gthread waits for the first byte of a request without a thread, and for all the others with one, for ever: as many connections
that drip as there are threads, and nobody else is served.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]  # it has none


class DeadlineSocket(socket.socket):
    """A client's connection: a request has to be here whole at `until`; what the client is sent, it takes within `patience`."""

    until = 0.0
    patience = 30.0

    def recv(self, *arguments: Any) -> bytes:
        """As a socket's. Raises ConnectionResetError when the request's time is over."""
        before, left = self.gettimeout(), self.until - time.monotonic()
        self.settimeout(max(0.001, left) if before is None else min(before, max(0.0, left)))
        try:
            return super().recv(*arguments)
        except TimeoutError:
            if before is not None:
                raise
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from None
        finally:
            self.settimeout(before)

    def sendall(self, *arguments: Any) -> None:
        """As a socket's. Raises BrokenPipeError when the client takes nothing."""
        before = self.gettimeout()
        self.settimeout(self.patience if before is None else before)
        try:
            super().sendall(*arguments)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the client takes nothing") from None
        finally:
            self.settimeout(before)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """For --worker-class. A request, its body included, has `timeout` seconds to arrive."""

    def handle(self, conn: TConn) -> Any:
        """One request of a connection."""
        if not isinstance(conn.sock, DeadlineSocket):
            conn.sock = DeadlineSocket(fileno=conn.sock.detach())
        conn.sock.patience = float(self.cfg.timeout)
        conn.sock.until = time.monotonic() + self.cfg.timeout
        return super().handle(conn)
