"""Servers of raw bytes: each connection goes to a function, which says and does what no HTTP server would."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: What a server does with a connection. It is closed afterwards.
Handle = Callable[[socket.socket], None]
#: Seconds for which a server holds a client that should leave by itself, and the pause between two bytes of what has no end.
PATIENCE, PAUSE = 60, 0.02


class ClientStayed(Exception):
    """The client should have hung up, and waited until the server did."""


class Servers:
    """Starts servers, whose connections have a thread each: takes a function, and returns host and port."""

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self._connections: list[socket.socket] = []
        #: What became of clients that stayed, added before their connections were closed.
        self.stayed: list[ClientStayed] = []

    def __call__(self, handle: Handle) -> str:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, handle), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def close(self) -> None:
        """Nobody can connect any more, nor is connected: who gets the port next would be taken for this one."""
        for opened in (*self._listeners, *self._connections):
            with suppress(OSError):  # it is closed
                opened.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, handle: Handle) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._run, args=(connection, handle), daemon=True).start()

    def _run(self, connection: socket.socket, handle: Handle) -> None:
        with connection:
            connection.settimeout(PATIENCE)
            try:
                handle(connection)
            except OSError:
                pass  # the client has hung up
            except ClientStayed as problem:
                self.stayed.append(problem)


@contextmanager
def serving() -> Iterator[Servers]:
    """Servers, until the end of the block."""
    servers = Servers()
    yield servers
    servers.close()


def read_request(connection: socket.socket) -> bytes:
    """Reads a whole request, for what is left unread when a connection closes resets it; returns its head, b"" if none comes."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(4096)
        if not received:
            return b""
        request += received
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (received := connection.recv(missing)):
        missing -= len(received)
    return head


def dripping(start: bytes, again: bytes) -> Handle:
    """A server that reads a request, begins so, and then says `again`, a byte at a time, without an end."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        drip(connection, start, again)

    return handle


def drip(connection: socket.socket, start: bytes, again: bytes) -> None:
    """Says `again`, a byte at a time, or nothing, until the client hangs up. Raises ClientStayed."""
    connection.sendall(start)
    if not again:
        wait_for_end(connection)
        return
    for byte in itertools.islice(itertools.cycle(again), int(PATIENCE / PAUSE)):
        connection.sendall(bytes([byte]))
        time.sleep(PAUSE)
    raise ClientStayed(start)


def wait_for_end(connection: socket.socket) -> None:
    """Until the client hangs up. Raises ClientStayed."""
    try:
        connection.recv(1)
    except TimeoutError:
        raise ClientStayed from None
