"""E-mail to the desk's users, by SMTP_URL. Without it, MAIL_FROM or PUBLIC_URL nothing is sent: a link is shown instead."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from shared.config import settings

log = logging.getLogger(__name__)

#: Seconds for which a mail server may be silent: somebody waits for the page.
_PATIENCE = 10.0
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
        log.error("mail_failed", extra={"error": type(problem).__name__, "code": None})
        return False
    try:
        with _server() as server:
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as problem:  # ValueError: an address that this server cannot be told
        log.error("mail_failed", extra={"error": type(problem).__name__, "code": getattr(problem, "smtp_code", None)})
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
    except (OSError, smtplib.SMTPException) as problem:
        log.error("mail_failed", extra={"error": type(problem).__name__, "code": getattr(problem, "smtp_code", None)})
        return False


@contextmanager
def _server() -> Iterator[smtplib.SMTP]:
    """By TLS wherever the server has it. A password never goes without it, but to this machine itself."""
    url = urlsplit(settings().smtp_url)
    host, port, trust = url.hostname or "", url.port or _PORTS[url.scheme], ssl.create_default_context()
    server: smtplib.SMTP
    if url.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=trust)
    else:
        server = smtplib.SMTP(host, port, timeout=_PATIENCE)
    with server:
        server.ehlo()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=trust)
            server.ehlo()
        if url.username:
            if not isinstance(server.sock, ssl.SSLSocket) and host not in ("127.0.0.1", "::1", "localhost"):
                raise smtplib.SMTPNotSupportedError("the server offers no TLS; the password is not sent")
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server
