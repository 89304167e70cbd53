"""What went wrong in a call, by the exact class of the exception. `FAILURES` is the only table of it."""

from __future__ import annotations

import time

from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError, NameResolutionError, NewConnectionError

from shared.config import host_of
from shared.errors import OutcomeUnknown, OutsideFailure, PermanentRefusal
from shared.http.exchange import ClientCertificateWanted, Exchange, ResponseTooLong

#: Statuses that pass by themselves, and before anything was done: a timeout on their side, a conflict, a connection meant for
#: another host, locked, a dependency that failed, too early, try again.
PASSING = frozenset({408, 409, 421, 423, 424, 425, 449})
#: Another address is named, and not called: a page that says "maintenance", or a setting with http where it must be https.
REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})

_CUT = "{host} cannot be reached: the connection ended before the whole request had left"


class ConnectFailed(OutsideFailure):
    """There was no connection, or it ended before the whole request had left (`is_cut`). Trying again is safe."""

    is_cut = False


class CallCancelled(OutcomeUnknown):
    """The call was ended from here (`cancel_calls`): nobody wants its response any more."""


class AddressRefused(HTTPError):
    """The URL has an address instead of a name, and it is not public."""


class NoPublicAddress(HTTPError):
    """A customer's host has no address, or one that is not public. Which of the two is told to nobody but the log."""


class NameServerSilent(NameResolutionError):
    """Nobody knows now whether the name has an address: this machine's resolver, or the name's own servers, do not answer."""


class TlsHandshakeFailed(HTTPError):
    """There is a TCP connection, but no TLS over it. Nothing of the request was sent."""


#: Exception -> what it means for the job, why in a code, and in words. The first row that fits counts, so subclasses stand before
#: their bases.
FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[OutsideFailure], str, str], ...] = (
    (
        (LocationValueError, InvalidURL, MissingSchema, InvalidSchema),
        PermanentRefusal,
        "invalid_url",
        "{host} cannot be called; a URL must be like https://example.com/hook",
    ),
    (AddressRefused, PermanentRefusal, "address_refused", "{host} is not a public address, and no others are called"),
    (NoPublicAddress, ConnectFailed, "dns_failed", "{host} cannot be reached: DNS knows no public address for it"),
    (NameServerSilent, ConnectFailed, "dns_failed", "{host} cannot be reached: DNS did not answer"),
    (NameResolutionError, ConnectFailed, "dns_failed", "{host} cannot be reached: DNS knows no address for it"),
    (
        NewConnectionError,
        ConnectFailed,
        "connect_failed",
        "{host} cannot be reached: the connection was refused, or there is no route",
    ),
    (ConnectTimeoutError, ConnectFailed, "connect_timeout", "{host} cannot be reached: no connection in time"),
    (TlsHandshakeFailed, ConnectFailed, "tls_failed", "{host} cannot be reached: the TLS handshake failed: {problem}"),
    (
        ClientCertificateWanted,
        ConnectFailed,
        "tls_failed",
        "{host} cannot be reached: it wants a TLS certificate of ours ({problem})",
    ),
    (ResponseTooLong, OutcomeUnknown, "response_too_long", "{host} did not answer: its response has no end"),
)


def classify(problem: Exception, url: str, call: Exchange) -> OutsideFailure:
    """PermanentRefusal (it can never pass), ConnectFailed (never sent whole) or OutcomeUnknown (sent, and no whole answer)."""
    meaning, code, text = _meaning(problem := _cause(problem), call)
    failure = meaning(text.format(host=host_of(url), problem=problem))
    failure.call_code = code
    if isinstance(failure, ConnectFailed):
        failure.is_cut = text is _CUT
    return failure


def _meaning(problem: Exception, call: Exchange) -> tuple[type[OutsideFailure], str, str]:
    if call.cancelled:
        return CallCancelled, "cancelled", "the call to {host} was ended from here"
    for kind, meaning, code, text in FAILURES:
        if isinstance(problem, kind):
            return meaning, code, text
    if call.request_left:
        if time.monotonic() >= call.deadline:
            return OutcomeUnknown, "timeout", f"{{host}} did not answer in {call.timeout:g} s"
        return OutcomeUnknown, "no_answer", f"{{host}} did not answer: {type(problem).__name__}"
    if isinstance(problem, ValueError):
        # http.client checks a request's lines before it sends the first. Its text quotes the value, which may be a key.
        text = "a header for {host} has characters that HTTP does not allow; does a key end in a line break?"
        return PermanentRefusal, "invalid_header", text
    return ConnectFailed, "connect_failed", _CUT


def _cause(problem: Exception) -> Exception:
    """What urllib3 raised, below the exceptions that requests wraps around it."""
    while isinstance(problem, RequestException) and problem.args and isinstance(problem.args[0], Exception):
        problem = problem.args[0]
    return problem
