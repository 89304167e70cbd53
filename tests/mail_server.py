"""A mail server on loopback that keeps what it is sent: enough of SMTP for smtplib."""

from __future__ import annotations

import queue
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

import pytest

from shared import config


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every letter whose address `takes` does not refuse."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.port = self.server_address[1]
        self.letters: queue.Queue[str] = queue.Queue()
        self.takes: Callable[[str], bool] = lambda address: True

    def next(self) -> str:
        """The next letter: To, Subject and text."""
        return self.letters.get(timeout=30)


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            is_taken = True
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                is_taken = self._read_letter()
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n" if is_taken else b"450 not now\r\n")
            if verb == b"QUIT":
                return

    def _read_letter(self) -> bool:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        letter = message_from_bytes(b"".join(lines), policy=policy.default)
        if not self.server.takes(letter["To"]):
            return False
        text = letter.get_body().get_content()  # type: ignore[union-attr]  # they have one
        self.server.letters.put(f"To: {letter['To']}\nSubject: {letter['Subject']}\n\n{text}")
        return True


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A server for the length of the block."""
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def mail_set_up(monkeypatch: pytest.MonkeyPatch, sender: str = "desk@host.example") -> Iterator[MailServer]:
    """The same, and e-mail is set up to go there."""
    with mail_server() as server:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("MAIL_FROM", sender)
        monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
        config.reset()
        yield server
