"""A TCP proxy between clients and their server that does to connections what networks do. For tests and scripts/chaos.

It passes everything on until it is told otherwise:

    with Proxy.to("postgresql://postgres@127.0.0.1:5432/switchboard") as proxy:
        ... connect to proxy.url, or to proxy.address ...
        proxy.treat(Mode.STALL)                         # open connections and new ones
        proxy.treat(Mode.PASS)                          # what waited is passed on
        proxy.treat(Mode.LOSE, only=lambda connection: connection.said(b"SUBSCRIBE"), new=False)
        proxy.reset()

It acknowledges what it receives, as a load balancer does. Packets that nobody acknowledges would need a firewall.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")

#: Host and port.
Address = tuple[str, int]
#: Where a URL that names no port leads.
DEFAULT_PORTS = {"postgres": 5432, "postgresql": 5432, "redis": 6379, "http": 80}

#: Bytes of a client's first and of its latest words that are kept, so that a test can tell connections apart.
KEPT = 4_096
#: Bytes that are passed on together at most.
CHUNK = 65_536
#: Seconds for the proxy's thread to carry out a change; it has nothing else to do.
PATIENCE = 10.0
#: SO_LINGER that makes closing a connection send a RST.
_NO_LINGER = struct.pack("ii", 1, 0)


class Mode(enum.Enum):
    """What becomes of a connection's bytes, in both directions."""

    #: They are passed on.
    PASS = "pass"
    #: They wait. A new connection is accepted, and waits as well.
    STALL = "stall"
    #: Each piece of them is passed on `Proxy.delay` seconds later.
    DELAY = "delay"
    #: The server's next answer breaks off in the middle; then both sides get a RST.
    CUT = "cut"
    #: Half open: all is acknowledged and forgotten, and no side ever learns of it, nor of the other's end. A middlebox does
    #: this that has forgotten the connection. Only a reset ends it.
    LOSE = "lose"
    #: Both sides get a RST at once.
    RESET = "reset"


class Connection:
    """A client's connection, as the proxy knows it. `number` counts them from 1 in the order in which they came."""

    def __init__(self, number: int, mode: Mode) -> None:
        self.number, self.mode = number, mode
        self._first, self._latest = b"", b""
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    def said(self, words: bytes) -> bool:
        """Whether the client sent these words, among its first or its latest few thousand bytes."""
        return words in self._first or words in self._latest

    def heard(self, chunk: bytes) -> None:
        """Keeps what the client sent."""
        self._first += chunk[: max(0, KEPT - len(self._first))]
        self._latest = (self._latest + chunk)[-KEPT:]

    def turn(self, mode: Mode) -> None:
        """Changes the mode. What is lost stays lost."""
        if self.mode is not Mode.LOSE or mode is Mode.RESET:
            self.mode = mode
            self._changed.set()
        if mode is Mode.RESET:
            self.abort()

    async def until_it_moves(self) -> None:
        """Waits while the mode is STALL."""
        while self.mode is Mode.STALL:
            self._changed.clear()
            await self._changed.wait()

    def join(self, writer: asyncio.StreamWriter) -> None:
        """Takes a side of the connection; a reset ends both."""
        self._writers.append(writer)
        if self.mode is Mode.RESET:
            self.abort()

    async def pump(self, *directions: Coroutine[Any, Any, None]) -> None:
        """Runs both directions until one of them ends."""
        self._pumps = [asyncio.create_task(direction) for direction in directions]
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in self._pumps:
            pump.cancel()

    def abort(self) -> None:
        """Sends a RST to both sides."""
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()
        for pump in self._pumps:
            pump.cancel()

    def close(self) -> None:
        """Sends what is left, then a FIN to both sides."""
        for writer in self._writers:
            writer.close()


Chooser = Callable[[Connection], bool]


def everyone(_connection: Connection) -> bool:
    """Picks all connections."""
    return True


class Proxy:
    """Listens on a free port of loopback, and connects each client to `target`. May be used from any thread."""

    def __init__(self, target: Address, delay: float = 0.3) -> None:
        self.target, self.delay = target, delay
        #: How to reach the server through the proxy, if it was made by to().
        self.url = ""
        self._mode = Mode.PASS
        self._connections: dict[int, Connection] = {}
        self._serving: set[asyncio.Task[Any]] = set()
        self._accepted = self._port = 0
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.accept()

    @classmethod
    def to(cls, url: str, delay: float = 0.3) -> Proxy:
        """A proxy before the server of this URL; its own `url` is the same but for host and port."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("the URL names no host; a Unix socket has no network in front of it")
        proxy = cls((parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]), delay)
        credentials, at, _ = parts.netloc.rpartition("@")
        proxy.url = urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy._port}"))
        return proxy

    @property
    def address(self) -> Address:
        """Where it listens."""
        return "127.0.0.1", self._port

    def connections(self) -> list[Connection]:
        """Those that are open, the oldest first."""
        return list(self._connections.values())

    def treat(self, mode: Mode, only: Chooser = everyone, new: bool = True) -> int:
        """Changes the mode of open connections that `only` picks, and of `new` ones; returns how many were picked."""
        return self._do(self._treat(mode, only, new))

    def reset(self, only: Chooser = everyone) -> int:
        """Sends a RST to both sides of open connections that `only` picks; returns how many were picked."""
        return self.treat(Mode.RESET, only, new=False)

    def refuse(self) -> None:
        """Nobody listens any more: who connects is refused. Open connections stay."""
        self._do(self._stop_listening())

    def accept(self) -> None:
        """Listens again after refuse()."""
        self._do(self._listen())

    def close(self) -> None:
        """Resets all connections, and ends."""
        if not self._loop.is_closed():
            self._do(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _treat(self, mode: Mode, only: Chooser, new: bool) -> int:
        if new:
            self._mode = mode
        chosen = [connection for connection in self._connections.values() if only(connection)]
        for connection in chosen:
            connection.turn(mode)
        return len(chosen)

    async def _end(self) -> None:
        await self._stop_listening()
        await self._treat(Mode.RESET, everyone, new=True)
        if self._serving:
            await asyncio.wait(self._serving, timeout=PATIENCE / 2)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._accepted += 1
        connection = self._connections[self._accepted] = Connection(self._accepted, self._mode)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            connection.join(to_client)
            await connection.until_it_moves()
            from_server, to_server = await asyncio.open_connection(*self.target)
            connection.join(to_server)
            await connection.pump(
                self._pass_on(connection, from_client, to_server, is_answer=False),
                self._pass_on(connection, from_server, to_client, is_answer=True),
            )
            connection.close()
        except OSError:  # the server refuses connections
            connection.abort()
        finally:
            del self._connections[connection.number]
            self._serving.discard(task)

    async def _pass_on(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool
    ) -> None:
        while chunk := await _read(reader, connection):
            if not is_answer:
                connection.heard(chunk)
            await connection.until_it_moves()
            if connection.mode is Mode.DELAY:
                await asyncio.sleep(self.delay)
            if connection.mode is Mode.LOSE:
                continue
            if is_cut := is_answer and connection.mode is Mode.CUT:
                chunk = chunk[: max(1, len(chunk) // 2)]
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:  # that side has left
                return
            if is_cut:
                connection.turn(Mode.RESET)


async def _read(reader: asyncio.StreamReader, connection: Connection) -> bytes:
    """The next bytes; none at the end. Where bytes are lost, or wait, so is the end."""
    try:
        chunk = await reader.read(CHUNK)
    except OSError:
        chunk = b""
    if not chunk:
        await connection.until_it_moves()
        if connection.mode is Mode.LOSE:
            await asyncio.Event().wait()  # until a reset cancels it
    return chunk
