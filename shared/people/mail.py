"""E-mail to the desk's users, by SMTP_URL. Without it, MAIL_FROM or PUBLIC_URL nothing is sent: a link is shown instead."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from urllib3.exceptions import HTTPError

from shared.config import settings
from shared.dns.lookups import OWN
from shared.http.connecting import connect_first
from shared.http.connections import tls_context
from shared.http.exchange import WireSocket, current, under_way

log = logging.getLogger(__name__)

#: Seconds for which a mail server may be silent, and for all that it has to say: somebody waits for the page.
_PATIENCE, _DEADLINE = 10.0, 30.0
#: Bytes of what it says.
_MAX_ANSWERS = 64 * 1024
#: What goes wrong with a server. ValueError: an address, a password or a name that it cannot be told. HTTPError: it has no end.
_FAILURES = (OSError, smtplib.SMTPException, ValueError, HTTPError)
_PORTS = {"smtp": 587, "smtps": 465}


def is_on() -> bool:
    """Whether e-mail can be sent, with links that lead here."""
    conf = settings()
    return bool(conf.smtp_url and conf.mail_from and conf.public_url)


def send(address: str, subject: str, text: str) -> bool:
    """Sends one; False, and a line in the log, if the server did not take it. The text and the address are not logged."""
    try:
        message = _message(address, subject, text)
    except Exception as problem:  # Python's parser of addresses raises anything for some, like a@[.example
        _note_failure(problem)
        return False
    try:
        with _server() as server:
            server.send_message(message)
    except _FAILURES as problem:
        _note_failure(problem)
        return False
    log.info("mail_sent")
    return True


def _message(address: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings().mail_from, address, " ".join(subject.split())
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="switchboard.invalid")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def is_reachable() -> bool:
    """Whether the server takes e-mails now; a line in the log, if it does not."""
    try:
        with _server():
            return True
    except _FAILURES as problem:
        _note_failure(problem)
        return False


def _note_failure(problem: Exception) -> None:
    code = getattr(problem, "smtp_code", None)
    log.error("mail_failed", extra={"host": "{}:{}".format(*_place()), "error": type(problem).__name__, "code": code})


def _place() -> tuple[str, int]:
    """The host and the port of SMTP_URL."""
    url = urlsplit(settings().smtp_url)
    return url.hostname or "", url.port or _PORTS[url.scheme]


class _Plain(smtplib.SMTP):
    """SMTP over a socket that ends with its exchange."""

    def _get_socket(self, host: str, port: int, _timeout: float) -> WireSocket:
        call = current()
        return connect_first(OWN.resolve(host, port, call.left), call)


class _Tls(smtplib.SMTP_SSL, _Plain):
    """The same with TLS from the beginning."""


@contextmanager
def _server() -> Iterator[smtplib.SMTP]:
    """By TLS wherever the server has it. A password never goes without it, but to this machine itself."""
    url, (host, port), trust = urlsplit(settings().smtp_url), _place(), tls_context()
    with under_way(_DEADLINE, _MAX_ANSWERS, longest_wait=_PATIENCE):
        server = _Tls(host, port, context=trust) if url.scheme == "smtps" else _Plain(host, port)
        try:
            server.ehlo()
            if url.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=trust)
                server.ehlo()
            if url.username:
                if not isinstance(server.sock, ssl.SSLSocket) and host not in ("127.0.0.1", "::1", "localhost"):
                    raise smtplib.SMTPNotSupportedError("the server offers no TLS; the password is not sent")
                server.login(unquote(url.username), unquote(url.password or ""))
            yield server
            with suppress(*_FAILURES):  # it has taken what there was, whatever it says to that
                server.quit()
        finally:
            server.close()
