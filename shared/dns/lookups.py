"""Names that are being looked up, each in a thread of its own; who waits for one waits until its own deadline.

A name whose DNS server is silent takes `getaddrinfo` half a minute, and its thread cannot be ended. So there are only so many of
these threads; customers' names have others than those of our own settings, which so are never behind them.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
#: What `getaddrinfo` says of an address: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[Any, Any, int, str, Any]


def parse_ip(host: str) -> IpAddress | None:
    """The address that a host is by itself, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Lookup(Future[list[AddressInfo]]):
    """One that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()


class Lookups:
    """At most so many at a time: a thread outlives the call that it was begun for. `left`: seconds, or it raises TimeoutError."""

    def __init__(self, most: int) -> None:
        self._lock, self._places = threading.Lock(), threading.BoundedSemaphore(most)
        self._lookups: dict[tuple[str, int], Lookup] = {}

    def resolve(self, name: str, port: int, left: Callable[[], float]) -> list[AddressInfo]:
        """The addresses of a host. Raises socket.gaierror, TimeoutError, or UnicodeError for what is no name."""
        if parse_ip(name) is not None:
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return self.begin(name, port, left).result(left())

    def begin(self, name: str, port: int, left: Callable[[], float]) -> Lookup:
        """The name's look-up; one that is under way is joined. Raises TimeoutError, UnicodeError."""
        name.encode("idna")  # getaddrinfo does it as well, and says no more than "encoding error"
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:
                return lookup
        if not self._places.acquire(timeout=left()):
            raise TimeoutError("too many names are being looked up")
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:  # another has begun it while this one waited
                self._places.release()
                return lookup
            lookup = self._lookups[name, port] = Lookup()
        self._start(name, port, lookup)
        return lookup

    def _start(self, name: str, port: int, lookup: Lookup) -> None:
        try:
            threading.Thread(target=self._ask, args=(name, port, lookup), name="lookup", daemon=True).start()
        except RuntimeError as problem:  # the machine has no thread left
            lookup.set_exception(socket.gaierror(str(problem)))
            self._end(name, port)

    def _ask(self, name: str, port: int, lookup: Lookup) -> None:
        try:
            lookup.set_result(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except OSError as problem:  # gaierror is one
            lookup.set_exception(problem)
        except Exception as problem:
            lookup.set_exception(socket.gaierror(str(problem)))
        finally:
            self._end(name, port)

    def _end(self, name: str, port: int) -> None:
        with self._lock:
            del self._lookups[name, port]
        self._places.release()


#: Of services of our own settings, of which there are few.
OWN = Lookups(64)
#: Of addresses that customers give. A bulkhead ends none of the threads of a name whose DNS server is silent.
CUSTOMERS = Lookups(256)
