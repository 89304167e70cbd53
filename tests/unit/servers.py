"""Servers of raw bytes: each connection goes to a function, which says and does what no HTTP server would."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What a server does with a connection. It is closed afterwards.
Handle = Callable[[socket.socket], None]


@contextmanager
def serving() -> Iterator[Callable[[Handle], str]]:
    """Starts servers, whose connections have a thread each; what it yields takes a function and returns host and port."""
    listeners: list[socket.socket] = []

    def start(handle: Handle) -> str:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, handle), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def _accept(listener: socket.socket, handle: Handle) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_run, args=(connection, handle), daemon=True).start()


def _run(connection: socket.socket, handle: Handle) -> None:
    with connection:
        connection.settimeout(60)
        try:
            handle(connection)
        except OSError:
            pass  # the client has hung up


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


def dripping(start: bytes, again: bytes, pause: float = 0.02) -> Handle:
    """A server that reads a request, begins so, and then says `again`, a byte at a time, without an end."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        drip(connection, start, again, pause)

    return handle


def drip(connection: socket.socket, start: bytes, again: bytes, pause: float = 0.02) -> None:
    """Says `again`, a byte at a time, for as long as anybody listens; of nothing, waits until nobody does."""
    connection.sendall(start)
    while again:
        for byte in again:
            connection.sendall(bytes([byte]))
            time.sleep(pause)
    connection.recv(1)
