"""E-mail by servers that drip, never come to an end, or have no name: a page that sends one waits for so long and no longer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from socket import socket

import pytest

from shared import config
from shared.people import mail
from tests.mail_server import mail_server
from tests.unit.servers import Handle, Servers, drip, serving


@pytest.fixture
def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets SMTP_URL."""

    def use(url: str) -> None:
        monkeypatch.setenv("SMTP_URL", url)
        monkeypatch.setenv("MAIL_FROM", "desk@host.example")
        monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
        config.reset()

    return use


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not answer is given up soon."""
    monkeypatch.setattr(mail, "_DEADLINE", 0.5)


@pytest.fixture
def serve() -> Iterator[Servers]:
    with serving() as start:
        yield start
    assert start.stayed == [], "the server hung up, and not the page"


def conversation(*answers: bytes, then: bytes) -> Handle:
    """A mail server that gives these answers, the greeting first, and drips its next one without an end."""

    def handle(connection: socket) -> None:
        for answer in answers:
            connection.sendall(answer)
            connection.recv(4096)
        drip(connection, b"", then)

    return handle


GREETING = b"220 ready\r\n"
DRIPS = {
    "greeting": conversation(then=b"220-"),
    "lines of the greeting": conversation(then=b"220-wait\r\n"),
    "features": conversation(GREETING, then=b"250-A\r\n"),
    "starttls": conversation(GREETING, b"250-a\r\n250 STARTTLS\r\n", then=b"2"),
    "handshake": conversation(GREETING, b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n", then=b"\x16"),
    "silence": conversation(then=b""),
}


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("where", DRIPS)
def test_a_mail_server_that_drips_is_given_up(
    use: Callable[[str], None], serve: Servers, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(DRIPS[where])
    use(f"smtp://ada:top-secret@{server}")
    for call in (mail.is_reachable, lambda: mail.send("ada@shop.example", "Hello", "A text.")):
        assert call() is False
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["mail_failed"] * 2
    assert [vars(record)["host"] for record in caplog.records if record.message == "mail_failed"] == [server] * 2
    assert "top-secret" not in str([vars(record) for record in caplog.records])


@pytest.mark.usefixtures("hurry")
def test_tls_that_drips_is_given_up(use: Callable[[str], None], serve: Servers) -> None:
    use(f"smtps://{serve(conversation(then=bytes([22, 3, 3, 64, 0]) + b'x' * 100))}")
    assert not mail.is_reachable()


def test_a_flood_is_cut(use: Callable[[str], None], serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(connection: socket) -> None:
        while True:
            connection.sendall(b"220-wait\r\n" * 1000)

    monkeypatch.setattr(mail, "_DEADLINE", 600.0)
    use(f"smtp://{serve(handle)}")
    assert not mail.is_reachable()


@pytest.mark.parametrize("goodbye", [b"", b"421 too busy\r\n", b"nonsense\r\n"])
def test_a_letter_that_was_taken_is_sent_whatever_follows(use: Callable[[str], None], serve: Servers, goodbye: bytes) -> None:
    def handle(connection: socket) -> None:
        connection.sendall(GREETING)
        for answer in (b"250 hello\r\n", b"250 from\r\n", b"250 to\r\n", b"354 go on\r\n"):
            connection.recv(4096)
            connection.sendall(answer)
        letter = b""
        while not letter.endswith(b"\r\n.\r\n"):
            letter += connection.recv(4096)
        connection.sendall(b"250 taken\r\n")
        connection.recv(4096)
        connection.sendall(goodbye)

    use(f"smtp://{serve(handle)}")
    assert mail.send("ada@shop.example", "Hello", "A text.")


def test_what_a_server_cannot_be_told_is_a_failure_and_no_error_of_the_page(use: Callable[[str], None]) -> None:
    with mail_server() as server:
        use(f"smtp://user%C3%A9:pass%C3%A9@127.0.0.1:{server.port}")  # AUTH PLAIN of smtplib is ASCII
        assert not mail.is_reachable()
        assert not mail.send("ada@shop.example", "Hello", "A text.")
