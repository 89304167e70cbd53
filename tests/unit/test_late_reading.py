"""A process that did not run until its call's time was over: an answer that is there by then counts, and is not waited for."""

from __future__ import annotations

import fcntl
import socket
import ssl
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.http import connections
from shared.http import exchange as exchanges
from shared.http.exchange import Exchange, WireSocket, WireTlsSocket, under_way
from tests.tls import self_signed
from tests.waiting import until

Wire = tuple[WireSocket | WireTlsSocket, socket.socket]


@pytest.fixture
def call() -> Iterator[Exchange]:
    with under_way(60, 1_000_000) as call:
        yield call


@pytest.fixture(params=["plain", "TLS"])
def wire(request: pytest.FixtureRequest, call: Exchange, tmp_path: Path) -> Iterator[Wire]:
    """Our end of a connection, and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener, WireSocket() as ours:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        ours.serve(call)
        if request.param == "plain":
            yield ours, theirs
        else:
            yield _encrypted(ours, theirs, self_signed(tmp_path))
        theirs.close()


def _encrypted(ours: WireSocket, theirs: socket.socket, certificate: Path) -> Wire:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), connections.tls_context()
    server.load_cert_chain(certificate)
    client.load_verify_locations(certificate)
    with ThreadPoolExecutor() as other:
        encrypted = other.submit(server.wrap_socket, theirs, server_side=True)
        tls = client.wrap_socket(ours, server_hostname="localhost")
        assert isinstance(tls, WireTlsSocket)
        return tls, encrypted.result()


def _say(wire: Wire, answer: bytes) -> None:
    """The server answers, and it arrives."""
    theirs = wire[1]
    theirs.sendall(answer)
    until(lambda: not int.from_bytes(fcntl.ioctl(theirs, termios.TIOCOUTQ, bytes(4)), sys.byteorder), "it is not acknowledged")


def _read(wire: Wire) -> bytes:
    room = bytearray(100)
    return bytes(room[: wire[0].recv_into(room)])


def test_what_came_while_we_stood_still_is_read_and_no_more_is_waited_for(wire: Wire, call: Exchange) -> None:
    _say(wire, b"answer")
    call.deadline = time.monotonic() - 600
    assert _read(wire) == b"answer"
    with pytest.raises(TimeoutError):
        _read(wire)


def test_what_has_always_more_is_given_up(wire: Wire, call: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "LATE_READING", 0.0)
    _say(wire, b"x" * 300)
    call.deadline = time.monotonic() - 600
    assert _read(wire) == b"x" * 100
    with pytest.raises(TimeoutError):
        _read(wire)
