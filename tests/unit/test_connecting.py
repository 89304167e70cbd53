"""A name with several addresses, of which some say nothing: whoever answers first gets the connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.dns.lookups import AddressInfo
from shared.http import connecting
from shared.http.connecting import connect_first
from shared.http.exchange import Exchange, cancel_calls, keys_of_calls, under_way
from tests.waiting import until

#: More connections than the queue of a server that accepts none has places for.
MORE_THAN_FIT = 8


@pytest.fixture(autouse=True)
def no_address_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends an attempt in these tests is that another one succeeded."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 600.0)


def info_of(server: socket.socket) -> AddressInfo:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", server.getsockname())


@pytest.fixture
def live() -> Iterator[AddressInfo]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield info_of(server)


@pytest.fixture
def silent() -> Iterator[AddressInfo]:
    """An address whose packets are dropped: the server's queue is full, and nobody takes anything out of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(MORE_THAN_FIT)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        yield info_of(server)
        for sock in waiting:
            sock.close()


@pytest.fixture
def refusing() -> AddressInfo:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return info_of(server)


def reached(infos: list[AddressInfo]) -> object:
    """The address that a connection was made to; ends with the test's own patience."""
    exchange, pool = Exchange(600.0, 0), ThreadPoolExecutor(1)
    try:
        with pool.submit(connect_first, infos, exchange).result(60) as sock:
            return sock.getpeername()
    finally:
        exchange.cancel()  # or the thread would wait for what is given up here
        pool.shutdown()


def test_an_address_that_says_nothing_is_not_waited_for(silent: AddressInfo, live: AddressInfo) -> None:
    assert reached([silent, silent, live]) == live[4]
    assert reached([silent, live, silent]) == live[4]


def test_an_address_that_refuses_is_passed_at_once(
    refusing: AddressInfo, live: AddressInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "NEXT_AFTER", 600.0)
    assert reached([refusing, live]) == live[4]


def test_the_first_that_answers_is_taken(live: AddressInfo, refusing: AddressInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "NEXT_AFTER", 600.0)
    assert reached([live, refusing]) == live[4]


def test_the_last_failure_is_told(refusing: AddressInfo) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect_first([refusing, refusing], Exchange(600.0, 0))
    with pytest.raises(OSError, match="has no address"):
        connect_first([], Exchange(600.0, 0))


def test_an_address_of_a_family_that_this_machine_lacks_is_passed(live: AddressInfo) -> None:
    unknown = (9_999, socket.SOCK_STREAM, 0, "", ("0", 1))
    assert reached([unknown, live]) == live[4]


def test_the_exchange_ends_in_time(silent: AddressInfo) -> None:
    with pytest.raises(TimeoutError):
        connect_first([silent, silent], Exchange(0.1, 0))


def test_an_address_is_given_up_after_its_time(silent: AddressInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 0.1)
    with pytest.raises(TimeoutError, match="timed out"):
        connect_first([silent], Exchange(600.0, 0))


def test_a_call_that_connects_can_be_ended(silent: AddressInfo) -> None:
    def call() -> None:
        with under_way(600.0, 0, key="endpoint") as exchange:
            connect_first([silent, silent], exchange)

    with ThreadPoolExecutor(1) as pool:
        under = pool.submit(call)
        until(lambda: "endpoint" in keys_of_calls())
        cancel_calls("endpoint")
        with pytest.raises(TimeoutError, match="cancelled"):
            under.result(60)
