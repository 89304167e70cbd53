"""One call to the outside while it is under way: its deadline, how much it has read, and how to end it from another thread.

A timeout of a socket bounds one wait, and so a server that sends a byte a second is never late. Here the exchange has one
deadline, and each wait of each of its sockets gets what is left of it (`WireSocket`, `WireTlsSocket`): connecting, TLS, the
request, informational responses, headers and body. It bounds waiting: an answer that is there is read, even if this process
was stopped (a suspended machine, no CPU to be had) until the time was over.

A call with a `key` can be ended from outside: `cancel_calls(key)` closes the connections of all calls of this process that
have it, and each of them raises CallCancelled at once (while DNS is asked: when it has answered). `keys_of_calls()` says
which keys there are. So whoever deletes an endpoint, or looks whether it still exists, ends what goes to it:

    http.post(url, body, headers, timeout, key=("endpoint", 12))
    http.cancel_calls(("endpoint", 12))  # in any thread; returns how many it ended
"""

from __future__ import annotations

import io
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from urllib3.exceptions import HTTPError

#: Bytes of heads (informational responses, headers) that are read, beyond the room for the body.
MAX_HEAD_BYTES = 256 * 1024
#: Seconds for reading what is there when the deadline is noticed: a stream that never ends might always have more.
LATE_READING = 1.0
#: Bytes on the wire for one of a body: a chunk of a single byte takes six.
WIRE_BYTES_PER_BYTE = 8


class ResponseTooLong(HTTPError):
    """More came than any honest response has: endless headers, trailers, or a body that decodes to nothing."""


class ClientCertificateWanted(HTTPError):
    """The server ended TLS for lack of a certificate of ours, before it looked at the request."""


class Phases:
    """Where a call spent its time. `ms` has the phases that there were: a connection that was kept has none but `answer`."""

    def __init__(self) -> None:
        #: Milliseconds of `resolve` (the name's look-up), `connect`, `tls` and `answer` (the request and its response).
        self.ms: dict[str, float] = {}
        self._name, self._since = "", time.monotonic()

    def enter(self, name: str) -> None:
        """The phase before is over. What was to be the answer, and becomes something else, was none: TLS begins."""
        now = time.monotonic()
        if self._name and not (name and self._name == "answer"):
            self.ms[self._name] = round((now - self._since) * 1000, 1)
        self._name, self._since = name, now

    def end(self) -> None:
        """The call is over, in whichever phase it is."""
        self._name = self._name or "answer"  # nothing had to be connected
        self.enter("")


class Exchange:
    """One request and its response. `status` is set as soon as the final response's head is there."""

    def __init__(self, timeout: float, max_bytes: int, phases: Phases | None = None, longest_wait: float = math.inf) -> None:
        self.timeout, self.deadline = timeout, time.monotonic() + timeout
        self.longest_wait = longest_wait
        self.phases = phases or Phases()
        #: Whose call it is, if it shares connections with nobody else's.
        self.key: Hashable = None
        self.bytes_left = MAX_HEAD_BYTES + WIRE_BYTES_PER_BYTE * max_bytes
        #: Whether the whole request may have left. Nobody acts on half of one.
        self.request_left = False
        self.has_received = False
        self.status: int | None = None
        self.cancelled = False
        #: Whether its reader has all that it needs of the body.
        self.is_complete = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._reads_until: float | None = None

    def left(self) -> float:
        """Seconds for which to wait: until the deadline. Raises TimeoutError when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the whole exchange is over")
        return min(left, self.longest_wait)

    def left_to_read(self) -> float:
        """The same for an answer; after the deadline 0, for what needs no waiting. Raises TimeoutError if that has no end."""
        now = time.monotonic()
        if (left := self.deadline - now) > 0:
            return min(left, self.longest_wait)
        self._reads_until = self._reads_until or now + LATE_READING
        if now > self._reads_until:
            raise TimeoutError("the time of the whole exchange is over")
        return 0.0

    def count(self, received: int) -> None:
        """Adds to what was read. Raises ResponseTooLong."""
        self.has_received = True
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise ResponseTooLong("the response is too long")

    def end_within(self, seconds: float) -> None:
        """Its reader has what it needs; the body's end, after which the connection can be kept, has so much time left."""
        self.is_complete = True
        self.deadline = min(self.deadline, time.monotonic() + seconds)

    def attach(self, sock: socket.socket) -> None:
        """The socket that the exchange waits for from now on. Raises TimeoutError for one that is cancelled already."""
        with self._lock:
            if self.cancelled:
                raise TimeoutError("cancelled")
            self._socket = sock

    def detach(self) -> None:
        """The exchange is done with its socket, which another may use."""
        with self._lock:
            self._socket = None

    def cancel(self) -> None:
        """Ends the exchange, whatever it waits for. For other threads."""
        with self._lock:
            self.cancelled = True
            if self._socket is not None:
                # Of the plain class: SSLSocket's would drop the TLS state under the thread that uses it.
                try:
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    pass  # it is closed already, or not connected yet


_lock = threading.Lock()
_calls: dict[Hashable, set[Exchange]] = {}
_local = threading.local()


def current() -> Exchange:
    """The exchange that this thread has under way."""
    return cast(Exchange, _local.exchange)


@contextmanager
def under_way(
    timeout: float, max_bytes: int, key: Hashable = None, phases: Phases | None = None, longest_wait: float = math.inf
) -> Iterator[Exchange]:
    """A new exchange: the current one of this thread, and to be found by its key. `longest_wait`: seconds of a single wait, where
    many requests, or what speaks by turns, are one exchange.
    """
    call = _local.exchange = Exchange(timeout, max_bytes, phases, longest_wait)
    call.key = key
    if key is not None:
        with _lock:
            _calls.setdefault(key, set()).add(call)
    try:
        yield call
    finally:
        call.phases.end()
        call.detach()
        if key is not None:
            _forget(key, call)


def _forget(key: Hashable, call: Exchange) -> None:
    with _lock:
        _calls[key].discard(call)
        if not _calls[key]:
            del _calls[key]


def cancel_calls(key: Hashable) -> int:
    """Ends all calls of this process that have this key; returns how many there were."""
    with _lock:
        calls = list(_calls.get(key, ()))
    for call in calls:
        call.cancel()
    return len(calls)


def keys_of_calls() -> set[Hashable]:
    """The keys of the calls that are under way in this process."""
    with _lock:
        return set(_calls)


#: What a server says in TLS 1.3 when it wants to know who we are: after the handshake, and before it looks at a request.
_CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")


class _Deadline:
    """Mixed into a socket: each of its waits ends at the deadline of the exchange that it serves."""

    #: None between two exchanges.
    exchange: Exchange | None = None
    #: Whether a response was followed by more bytes: the next request would take them for its own response.
    has_leftover = False
    #: When its last exchange ended (monotonic).
    idle_since = 0.0

    def serve(self: Any, exchange: Exchange) -> None:
        """Works for this exchange from now on."""
        exchange.attach(self)
        self.exchange = exchange

    def recv_into(self: Any, *arguments: Any) -> int:
        """As of any socket, until the deadline. Between exchanges there is nothing to read."""
        exchange = self.exchange
        if exchange is None:
            return 0
        self.settimeout(exchange.left_to_read())
        try:
            received: int = super().recv_into(*arguments)  # type: ignore[misc]  # of the socket that this is mixed into
        except (BlockingIOError, ssl.SSLWantReadError):
            raise TimeoutError("nothing more is there, and the time of the whole exchange is over") from None
        except ssl.SSLError as problem:
            if not exchange.has_received and str(problem.reason).endswith(_CERTIFICATE_ALERTS):
                raise ClientCertificateWanted(problem.reason) from problem
            raise
        exchange.count(received)
        return received

    def send(self: Any, *arguments: Any) -> int:
        """As of any socket, until the deadline."""
        self.settimeout(self.exchange.left())
        sent: int = super().send(*arguments)  # type: ignore[misc]
        return sent

    def sendall(self: Any, *arguments: Any) -> None:
        """As of any socket, until the deadline."""
        self.settimeout(self.exchange.left())
        super().sendall(*arguments)  # type: ignore[misc]

    def makefile(self: Any, *_: Any, **__: Any) -> Any:
        """What http.client reads a response from."""
        return _ResponseReader(super().makefile("rb", buffering=0), self)  # type: ignore[misc]


#: A line that http.client can read: it takes any other for the head's end. A space before its colon counts for nothing.
_HEADER_LINE = re.compile(rb"[!-9;-~]+:|[ \t]|\r?\n")
_SPACED = re.compile(rb"\A([!-9;-~]+)[ \t]+:")


class _ResponseReader(io.BufferedReader):
    """Closed at the end of its response, when the connection goes back to the pool: looks whether anything is left in it."""

    def __init__(self, raw: Any, sock: Any) -> None:
        super().__init__(raw)
        self._sock = sock
        #: Whether the connection ended in the middle of a line, or before it.
        self.is_cut = False
        self.is_in_head = False  # lines are headers now; those that are none are left out, as browsers do

    def readline(self, size: int | None = -1, /) -> bytes:
        """As of any reader. To http.client the end of the connection is that of the headers, whole or not."""
        line = super().readline(size)
        while self.is_in_head and line.endswith(b"\n") and not _HEADER_LINE.match(line):
            line, count = _SPACED.subn(rb"\1:", line)
            line = line if count else super().readline(size)
        self.is_cut = not line.endswith(b"\n")
        return line

    def close(self) -> None:
        """Takes the socket out of its exchange."""
        sock, self._sock = self._sock, None
        if sock is not None and sock.exchange is not None:
            sock.exchange.detach()
            sock.exchange = None
            sock.has_leftover, sock.idle_since = self._has_more(), time.monotonic()
        super().close()

    def _has_more(self) -> bool:
        try:
            return bool(self.peek(1))  # of the buffer only: without an exchange the socket has nothing to read
        except OSError:  # a wait of it timed out
            return True


class WireSocket(_Deadline, socket.socket):
    """A TCP socket that ends with its exchange."""


class WireTlsSocket(_Deadline, ssl.SSLSocket):
    """The same with TLS in between. Its handshake has the timeout of the TCP socket before it."""

    def do_handshake(self, block: bool = False) -> None:
        """The handshake as a whole, not each of its waits, ends in time."""
        call = current()
        call.phases.enter("tls")
        self.serve(call)
        super().do_handshake(block)
        call.phases.enter("answer")
