"""What went wrong in a call, by the exact class of the exception. `FAILURES` is the only table of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
)

from shared.errors import OutcomeUnknown, PermanentError


class ConnectFailed(Exception):
    """There was no connection, so the request was never sent. Trying again is safe."""


class AddressRefused(HTTPError):
    """The host resolves to an address that is not public."""


class TlsHandshakeFailed(HTTPError):
    """There is a TCP connection, but no TLS over it. Nothing of the request was sent."""


#: Exception -> what it means for the job, and why. The first row that fits counts, so subclasses stand before their
#: bases. Whatever is not listed happened after the request began to leave.
FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[Exception], str], ...] = (
    (
        (LocationValueError, InvalidURL, MissingSchema, InvalidSchema),
        PermanentError,
        "{host} cannot be called; a URL must be like https://example.com/hook",
    ),
    (
        AddressRefused,
        PermanentError,
        "{host} is a private address, and only public ones are called; WEBHOOK_ALLOW_PRIVATE_ADDRESSES=true allows both",
    ),
    (NameResolutionError, ConnectFailed, "{host} cannot be reached: DNS knows no address for it"),
    (NewConnectionError, ConnectFailed, "{host} cannot be reached: the connection was refused, or there is no route"),
    (ConnectTimeoutError, ConnectFailed, "{host} cannot be reached: no connection in time"),
    (TlsHandshakeFailed, ConnectFailed, "{host} cannot be reached: the TLS handshake failed: {problem}"),
    # http.client checks a request's lines before it sends the first. Its text quotes the value, which may be a key.
    (ValueError, PermanentError, "a header for {host} has characters that HTTP does not allow; does a key end in a line break?"),
)


def classify(problem: Exception, url: str) -> Exception:
    """PermanentError (it can never pass), ConnectFailed (never sent) or OutcomeUnknown (sent, and no whole answer)."""
    host, problem = _host(url), _cause(problem)
    for kind, meaning, text in FAILURES:
        if isinstance(problem, kind):
            return meaning(text.format(host=host, problem=problem))
    return OutcomeUnknown(f"{host} did not answer: {type(problem).__name__}")


def _cause(problem: Exception) -> Exception:
    """What urllib3 raised, below the exceptions that requests wraps around it."""
    while isinstance(problem, RequestException) and problem.args and isinstance(problem.args[0], Exception):
        problem = problem.args[0]
    return problem.reason if isinstance(problem, MaxRetryError) and problem.reason else problem


def _host(url: str) -> str:
    """Host and port, without the credentials that a URL may hold."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"
    except ValueError:
        return "an address that is no URL"
