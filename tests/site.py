"""The application as gunicorn's worker serves it, in a thread of this process."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
import uvicorn
from flask import Flask

from shared.config import settings
from web.server.connection import FairServer, Worker
from web.server.front import Front


class Site:
    """Serves an application on a free port."""

    def __init__(self, flask: Flask, request_seconds: float = 30.0) -> None:
        self.front = Front(flask, settings())
        self.front.request_seconds = request_seconds
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = FairServer(uvicorn.Config(self.front, log_config=None, **Worker.CONFIG_KWARGS))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def begin_stop(self) -> None:
        """As SIGTERM."""
        self._server.should_exit = True

    def stop(self) -> float:
        """As SIGTERM, until the end; returns how long that took."""
        began = time.monotonic()
        self.begin_stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if hub := self.front.flask.extensions.get("widget-hub"):  # not told of the end when no page was open
            hub.closed = True
        return time.monotonic() - began

    def raw(self, text: bytes) -> socket.socket:
        """A connection on which this was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(text)
        return connection

    def ask(self, text: bytes) -> bytes:
        """All that is answered to this until the connection ends; nothing if it is hung up on."""
        with self.raw(text) as connection:
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except ConnectionResetError:
                pass
            return answer


@contextmanager
def serving(flask: Flask, request_seconds: float = 30.0) -> Iterator[Site]:
    """A site for the length of the block."""
    site = Site(flask, request_seconds)
    try:
        yield site
    finally:
        site.stop()


def read_events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """The events of an open stream, each with its revision."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line:
            if "event" in fields:
                yield {**json.loads(fields["data"]), "revision": int(fields["id"])}
            fields = {}
