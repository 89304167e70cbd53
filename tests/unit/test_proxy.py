"""The proxy that stands for a network: what each mode does to a connection."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from scripts.local.proxy import Mode, Proxy

#: Seconds in which nothing must arrive.
SILENCE = 0.3


class Echo(socketserver.ThreadingTCPServer):
    """Answers what it hears, and remembers it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.heard: list[bytes] = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while chunk := self.request.recv(65_536):
                self.server.heard.append(chunk)  # type: ignore[attr-defined]
                self.request.sendall(chunk)
        except ConnectionError:
            pass
        self.server.ended.release()  # type: ignore[attr-defined]


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.server_address) as running:  # type: ignore[arg-type]  # the address of a TCP server
        yield running


def connected(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(proxy.address, timeout=45)
    assert said(client, b"hello") == b"hello"
    return client


def said(client: socket.socket, words: bytes) -> bytes:
    """The answer to these words."""
    client.sendall(words)
    return client.recv(65_536)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE)
    try:
        return client.recv(1) == b"never"
    except TimeoutError:
        return True
    finally:
        client.settimeout(45)


def test_it_passes_on_what_is_said_and_both_ends(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    big = b"x" * 1_000_000
    threading.Thread(target=client.sendall, args=(big,)).start()
    answer = b""
    while len(answer) < len(big):
        answer += client.recv(65_536)
    assert answer == big
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert echo.ended.acquire(timeout=45)
    assert not proxy.connections()


def test_what_stalls_goes_on_afterwards(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    assert proxy.treat(Mode.STALL) == 1
    client.sendall(b"wait")
    newcomer = socket.create_connection(proxy.address, timeout=45)
    newcomer.sendall(b"me too")
    assert is_silent(client)
    assert is_silent(newcomer)
    assert echo.heard == [b"hello"]
    proxy.treat(Mode.PASS)
    assert (client.recv(100), newcomer.recv(100)) == (b"wait", b"me too")


def test_a_delay_takes_its_time_in_each_direction(proxy: Proxy) -> None:
    client = connected(proxy)
    proxy.delay = 0.1
    proxy.treat(Mode.DELAY)
    begun = time.monotonic()
    assert said(client, b"slow") == b"slow"
    assert time.monotonic() - begun >= 2 * proxy.delay


def test_an_answer_is_cut_in_the_middle(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    proxy.treat(Mode.CUT, new=False)
    assert said(client, b"0123456789") == b"01234"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.heard == [b"hello", b"0123456789"]
    assert said(connected(proxy), b"again") == b"again"


def test_a_reset_reaches_both_sides(proxy: Proxy, echo: Echo) -> None:
    client, other = connected(proxy), connected(proxy)
    assert other.sendall(b"spare me") is None
    assert other.recv(100) == b"spare me"
    assert proxy.reset(only=lambda connection: not connection.said(b"spare me")) == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.ended.acquire(timeout=45)
    assert said(other, b"still here") == b"still here"


def test_what_is_lost_is_acknowledged_and_stays_lost(proxy: Proxy, echo: Echo) -> None:
    client = connected(proxy)
    assert proxy.treat(Mode.LOSE, new=False) == 1
    client.sendall(b"x" * 5_000_000)  # more than any buffer: somebody reads it
    proxy.treat(Mode.PASS)
    client.sendall(b"anybody there?")
    assert is_silent(client)
    newcomer = connected(proxy)
    assert said(newcomer, b"new") == b"new"
    client.close()
    assert not echo.ended.acquire(timeout=SILENCE), "the server does not learn that its client left"
    assert proxy.reset(only=lambda connection: connection.number == 1) == 1
    assert echo.ended.acquire(timeout=45)


def test_refused_connections_are_refused(proxy: Proxy) -> None:
    client = connected(proxy)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address, timeout=45)
    assert said(client, b"open") == b"open"
    proxy.accept()
    assert said(connected(proxy), b"back") == b"back"


def test_new_connections_may_be_reset_too(proxy: Proxy) -> None:
    proxy.treat(Mode.RESET)
    with pytest.raises(ConnectionError):
        said(socket.create_connection(proxy.address, timeout=45), b"hello")


def test_a_server_that_is_away_resets_its_clients(echo: Echo) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Proxy(nobody.getsockname()) as proxy, pytest.raises(ConnectionError):
            said(socket.create_connection(proxy.address, timeout=45), b"hello")


@pytest.mark.parametrize(
    ("url", "target", "proxied"),
    [
        (
            "postgresql://postgres@db.example:15432/switchboard?sslmode=disable",
            ("db.example", 15432),
            "postgresql://postgres@{}/switchboard?sslmode=disable",
        ),
        ("postgres://127.0.0.1/switchboard", ("127.0.0.1", 5432), "postgres://{}/switchboard"),
        ("redis://:p%40ss@redis.example/0", ("redis.example", 6379), "redis://:p%40ss@{}/0"),
    ],
)
def test_a_url_leads_through_the_proxy(url: str, target: tuple[str, int], proxied: str) -> None:
    with Proxy.to(url) as proxy:
        assert proxy.target == target
        assert proxy.url == proxied.format("{}:{}".format(*proxy.address))


def test_a_socket_has_no_network_in_front_of_it() -> None:
    with pytest.raises(ValueError, match="names no host"):
        Proxy.to("postgresql:///switchboard?host=/var/run/postgresql")
