"""A client's connection, with deadlines for those that send or read slowly; and gunicorn's worker that has them."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # it has none
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from web.server.parser import Parser
from web.server.wsgi import ABORT

if TYPE_CHECKING:  # gunicorn's master loads this module, and none of the application
    from web.server.front import Front

#: Bytes of a head, and of whatever else in a request is not its body: trailers, the sizes of chunks.
MAX_HEAD = 64 * 1024
#: Requests that a client may send ahead on one connection.
MAX_PIPELINE = 16
#: Seconds for which a thread that works keeps the interpreter from others that want it. Every answer goes through the event loop,
#: which with Python's 0.005 waits behind the threads: 398 to 480 hooks a second instead of 462 to 494.
SWITCH_INTERVAL = 0.0005
#: Connections that may wait to be accepted: a burst of pages that come back at once.
BACKLOG = 4_096
#: File descriptors that are not for connections: PostgreSQL, Redis, files, the listening socket.
RESERVED_DESCRIPTORS = 200


def max_connections() -> int:
    """How many connections the limit of file descriptors leaves room for."""
    return max(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS)


class Connection(HttpToolsProtocol):
    """uvicorn's, with deadlines. One that waits for a request makes room for a new one when descriptors run out."""

    #: Connections without a complete head, the longest waiting first; of this process.
    idle: dict[Connection, None] = {}  # noqa: RUF012 - there is one event loop
    app: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's own narrower type
        self.parser: Any = Parser(self)
        self._overhead, self._is_in_head = 0, False
        self._clocks: dict[str, asyncio.TimerHandle] = {}
        self.transport.set_write_buffer_limits(high=0)  # pause_writing as soon as the client does not read
        self.idle[self] = None
        self._expect_request()
        if len(self.connections) > max_connections():
            self._make_room()

    def _make_room(self) -> None:
        longest_idle = next(iter(self.idle))
        del self.idle[longest_idle]
        self.connections.discard(longest_idle)  # it ends in the next round of the loop
        longest_idle.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        self.idle.pop(self, None)
        for doing in tuple(self._clocks):
            self._stop_clock(doing)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request. What is not its body is bounded here, and the body by those who read it."""
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")
        self._expect_request()  # has its time from its first byte on, also if that is a stray line break

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]  # ours
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """The head is complete; the body's deadline is of those who read it."""
        if len(self.pipeline) >= MAX_PIPELINE:
            raise ValueError("too many requests ahead")  # httptools makes it a bad request
        _refuse_ambiguous(self.headers, self.parser.get_http_version())
        self.parser.head_is_complete(self.headers)
        self._is_in_head = False
        self._stop_clock("request")
        self.idle.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self.parser.has_body_to_come:
            return
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The end of an answer: the connection waits for the next request, for as long as `keepalive` says."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            self.idle[self] = None
            if self._is_in_head:  # it came while the request before was answered
                self._expect_request()

    def pause_writing(self) -> None:
        """The client does not read; it has some time for that."""
        super().pause_writing()
        self._start_clock("answer")

    def resume_writing(self) -> None:
        """It has read all."""
        super().resume_writing()
        self._stop_clock("answer")

    def shutdown(self) -> None:
        """The process ends: streams first, for nobody else would end them."""
        self.app.close()
        super().shutdown()

    def _expect_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._start_clock("request")

    def _start_clock(self, doing: str) -> None:
        if doing not in self._clocks:
            self._clocks[doing] = self.loop.call_later(self.app.request_seconds, self.transport.abort)

    def _stop_clock(self, doing: str) -> None:
        if clock := self._clocks.pop(doing, None):
            clock.cancel()


def _refuse_ambiguous(headers: list[tuple[bytes, bytes]], version: str) -> None:
    """Raises ValueError for a head that a proxy may have read otherwise than we would (RFC 9112, sections 3.2 and 6.1)."""
    if [name for name, _ in headers].count(b"host") > 1:
        raise ValueError("more than one Host")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise ValueError("a Transfer-Encoding that is not only chunked")


class FairServer(Server):
    """uvicorn's, of which several take connections from one socket: each takes one at a time.

    asyncio takes as many at once as its backlog says, so that one process would have all connections of a burst.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens; the socket's own backlog is made what it was."""
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(BACKLOG)

    def end(self) -> None:
        """As at SIGTERM: streams at once, what is being answered when it is answered."""
        self.should_exit = True


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no types
    """For --worker-class. gunicorn's `timeout` is what a client has for its request, and for reading the answer."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as in its base
        "loop": "asyncio",
        "http": Connection,
        "ws": "none",
        "lifespan": "off",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # TRUSTED_PROXIES says whom to believe
        "backlog": 1,  # FairServer
    }

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        logger = logging.getLogger("uvicorn.error")
        logger.propagate = True
        logger.setLevel(logging.ERROR)  # a bad request is no news

    def load_wsgi(self) -> None:
        """Makes the application. Where that stops the process, for a setting is wrong, it stops all: gunicorn would fork anew for
        ever, and listen without an answer."""
        try:
            super().load_wsgi()
        except SystemExit as problem:
            if isinstance(problem.code, str):
                print(problem.code, file=sys.stderr, flush=True)
            sys.exit(Arbiter.APP_LOAD_ERROR)

    async def _serve(self) -> None:
        front: Front = self.wsgi
        front.request_seconds = float(self.cfg.timeout)
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.collect()
        gc.freeze()  # the application stays: looking through it again would hold up every request for a tenth of a second
        self.config.app = front
        server = FairServer(self.config)
        # gunicorn's master makes SIGINT a SIGQUIT, which UvicornWorker takes and does nothing: it would be killed 20 s later.
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.end)
        await server.serve(self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
