"""Look-ups of host names, each in a thread of its own, so that every caller waits only until its own deadline.

While a DNS server is silent `getaddrinfo` takes half a minute, and nothing can end its thread. So the number of these threads is
bounded, and customers' names have a bound of their own: they never keep the names of our settings waiting.
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
    """A look-up that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()


class Lookups:
    """At most so many look-ups at a time.

    `left` says how many seconds the caller still has, or raises TimeoutError; the look-up itself may take longer.
    """

    def __init__(self, most: int) -> None:
        self._lock, self._places = threading.Lock(), threading.BoundedSemaphore(most)
        self._lookups: dict[tuple[str, int], Lookup] = {}

    def resolve(self, name: str, port: int, left: Callable[[], float]) -> list[AddressInfo]:
        """The addresses of a host. Raises socket.gaierror, TimeoutError, or UnicodeError for what is no name."""
        if parse_ip(name) is not None:
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return self.begin(name, port, left).result(left())

    def begin(self, name: str, port: int, left: Callable[[], float]) -> Lookup:
        """Starts a name's look-up, or returns the one that is under way. Raises TimeoutError, UnicodeError."""
        name.encode("idna")  # getaddrinfo does it as well, but its error says no more than "encoding error"
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:
                return lookup
        if not self._places.acquire(timeout=left()):
            raise TimeoutError("too many names are being looked up")
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:  # another thread began it meanwhile
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


#: For the services that our settings name, of which there are few.
OWN = Lookups(64)
#: For the addresses that customers give.
CUSTOMERS = Lookups(256)
