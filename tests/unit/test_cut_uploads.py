"""Connections that end while a file is on its way: what is certain, and what is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from shared import config
from shared.channels import outbound_file
from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, OutboundFile, seconds_for
from shared.channels.outcomes import ProviderFailed
from shared.channels.telegram.send_file import send_file as send_by_telegram
from shared.channels.whatsapp_cloud.send_file import send_file as send_by_meta
from shared.channels.whatsapp_qr.dialects import dialect
from shared.errors import OutcomeUnknown, PermanentRefusal
from shared.http import ConnectFailed
from tests.unit.servers import PATIENCE, Servers, dripping, read_request, serving

#: More than a connection holds that nobody reads from.
LARGE = OutboundFile(MediaKind.DOCUMENT, "application/pdf", "a.pdf", bytes(12 * MEGABYTE))
SMALL = replace(LARGE, content=b"%PDF-")
SENDS: dict[str, Callable[[OutboundFile], str]] = {
    "meta": lambda file: send_by_meta("777001", "token", "491", file, "msg_12"),
    "telegram": lambda file: send_by_telegram("123456789:" + "a" * 35, "42", file),
    "waha": lambda file: dialect("waha").send_file("s1", "key", "491@c.us", file, 12),
    "evolution": lambda file: dialect("evolution").send_file("s1", "key", "491@c.us", file, 12),
}
every_channel = pytest.mark.parametrize("send", SENDS.values(), ids=list(SENDS))


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Servers of raw bytes. No client stays until they hang up."""
    with serving() as running:
        yield running
        assert not running.stayed


@pytest.fixture
def outside(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes a server the provider of all channels, who has `PATIENCE`, whatever the size of a file."""

    def choose(address: str, seconds: float = PATIENCE) -> None:
        for name in ("WHATSAPP_GRAPH_URL", "WHATSAPP_QR_SERVICE_URL", "TELEGRAM_API_URL"):
            monkeypatch.setenv(name, f"http://{address}")
        monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", str(seconds))
        monkeypatch.setattr(outbound_file, "SLOWEST", float("inf"))
        config.reset()

    yield choose
    config.reset()


def _cut(connection: socket.socket) -> None:
    """Reads the beginning of a request, and is gone."""
    connection.recv(4096)


def _take_and_go(connection: socket.socket) -> None:
    """Reads the whole request, and is gone."""
    read_request(connection)


def _refuse(connection: socket.socket) -> None:
    """Refuses the request before it has come, and is gone."""
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 413 Too Large\r\nContent-Length: 20\r\n\r\n{"message": "large"}')


def _wait_for(event: threading.Event) -> None:
    event.wait(PATIENCE)


@every_channel
def test_before_the_request_is_whole_nothing_was_sent(
    servers: Servers, outside: Callable[[str], None], send: Callable[[OutboundFile], str]
) -> None:
    outside(servers(_cut))
    with pytest.raises(ConnectFailed, match="before the whole request had left") as cut:
        send(LARGE)
    assert cut.value.is_cut, "and it is not waited for, as a provider that cannot be reached is: it may break off each time"


@pytest.mark.parametrize("name", ["telegram", "waha", "evolution"])
def test_a_whole_request_without_an_answer_may_have_been_sent(
    servers: Servers, outside: Callable[[str], None], name: str
) -> None:
    outside(servers(_take_and_go))
    with pytest.raises(OutcomeUnknown):
        SENDS[name](LARGE)


def test_an_upload_without_an_answer_has_sent_nothing(servers: Servers, outside: Callable[[str], None]) -> None:
    outside(servers(_take_and_go))
    with pytest.raises(ProviderFailed, match="when the file was uploaded"):
        SENDS["meta"](LARGE)


@every_channel
def test_a_refusal_counts_that_comes_before_the_request_is_whole(
    servers: Servers, outside: Callable[[str], None], send: Callable[[OutboundFile], str]
) -> None:
    outside(servers(_refuse))
    with pytest.raises(PermanentRefusal, match="413"):
        send(LARGE)


@every_channel
def test_a_provider_that_reads_nothing_is_given_up(
    servers: Servers, outside: Callable[[str, float], None], send: Callable[[OutboundFile], str]
) -> None:
    is_over = threading.Event()
    outside(servers(lambda _connection: _wait_for(is_over)), 1)
    with pytest.raises(ConnectFailed):
        send(LARGE)
    is_over.set()


DRIP = dripping(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"id": "', b"1")


def test_an_upload_whose_answer_has_no_end_is_given_up(servers: Servers, outside: Callable[[str, float], None]) -> None:
    outside(servers(DRIP), 3)
    with pytest.raises(ProviderFailed, match="when the file was uploaded"):
        SENDS["meta"](SMALL)


@pytest.mark.parametrize("name", ["telegram", "waha", "evolution"])
def test_what_was_taken_has_left_although_the_answer_has_no_end(
    servers: Servers, outside: Callable[[str, float], None], name: str
) -> None:
    outside(servers(DRIP), 3)
    assert "1111" not in SENDS[name](SMALL)


def test_a_large_file_has_time(outside: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    slowest = outbound_file.SLOWEST
    outside("127.0.0.1:1", 10)
    monkeypatch.setattr(outbound_file, "SLOWEST", slowest)
    assert (seconds_for(0), seconds_for(16 * MEGABYTE)) == (10, 74)
