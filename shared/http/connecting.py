"""A TCP connection to one of a name's addresses: to the first that answers, not to the first of the list."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from typing import cast

from shared.dns.lookups import AddressInfo
from shared.http.exchange import Exchange, WireSocket

#: Seconds for a TCP connection to one address, and for TLS over it; part of the whole.
CONNECT_TIMEOUT = 5.0
#: Seconds after which the next address is tried as well.
NEXT_AFTER = 0.25


def connect_first(infos: list[AddressInfo], exchange: Exchange) -> WireSocket:
    """A connection to the address that answers first. Raises OSError.

    The next one is tried when those before have failed, or say nothing for a moment (RFC 8305): networks drop IPv6 in silence.
    """
    attempts = _Attempts(exchange)
    try:
        for info in infos:
            attempts.begin(info)
            if sock := attempts.wait(NEXT_AFTER):
                return sock
        while attempts.are_some:
            if sock := attempts.wait(NEXT_AFTER):
                return sock
        raise attempts.problem
    finally:
        attempts.end()


class _Attempts:
    """Connections that are being made, of which one is wanted."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._selector = exchange, selectors.DefaultSelector()
        #: Why the last one that failed did.
        self.problem: OSError = OSError("the name has no address")

    @property
    def are_some(self) -> bool:
        """Whether one may still succeed."""
        return bool(self._selector.get_map())

    def begin(self, info: AddressInfo) -> None:
        """One more."""
        family, kind, protocol, _, address = info
        try:
            sock = WireSocket(family, kind, protocol)
        except OSError as problem:  # this machine has no IPv6, for example
            self.problem = problem
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.serve(self._exchange)
            sock.setblocking(False)
            self._register(sock, sock.connect_ex(address))
        except OSError as problem:
            self._failed(sock, problem)

    def wait(self, seconds: float) -> WireSocket | None:
        """The one that is there; None if there is none within so many seconds, or all have failed. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while self.are_some and (left := until - time.monotonic()) > 0:
            if self._exchange.cancelled:
                raise TimeoutError("cancelled")
            for key, _ in self._selector.select(min(left, self._exchange.left())):
                sock = cast(WireSocket, key.fileobj)
                self._selector.unregister(sock)
                if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._failed(sock, OSError(number, os.strerror(number)))
                else:
                    return self._ready(sock)
        self._give_up()
        return None

    def end(self) -> None:
        """Ends those that are not wanted any more."""
        for key in list(self._selector.get_map().values()):
            cast(WireSocket, key.fileobj).close()
        self._selector.close()

    def _register(self, sock: WireSocket, number: int) -> None:
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        self._selector.register(sock, selectors.EVENT_WRITE, data=time.monotonic() + CONNECT_TIMEOUT)

    def _ready(self, sock: WireSocket) -> WireSocket:
        try:
            sock.serve(self._exchange)  # another one may be its socket now, or the call was ended
            sock.settimeout(min(CONNECT_TIMEOUT, self._exchange.left()))
        except TimeoutError:
            sock.close()
            raise
        return sock

    def _give_up(self) -> None:
        for key in list(self._selector.get_map().values()):
            if time.monotonic() > key.data:
                self._selector.unregister(key.fileobj)
                self._failed(cast(WireSocket, key.fileobj), TimeoutError("timed out"))

    def _failed(self, sock: WireSocket, problem: OSError) -> None:
        sock.close()
        self.problem = problem
