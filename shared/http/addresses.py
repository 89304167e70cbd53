"""Where a name leads, in time and to public addresses only.

`getaddrinfo` has no timeout: a name whose DNS server is silent takes half a minute. So it is asked in a thread of its own, one
for each name that is being looked up, and who waits for it waits until the exchange's deadline. There are only so many of these
threads; customers' names have others than those of our own settings, which so are never behind them.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from concurrent.futures import Future
from typing import Any

from requests_hardened.ip_filter import EXTRA_BLOCKED_NET_RANGES

from shared.http.exchange import Exchange

log = logging.getLogger(__name__)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
#: What `getaddrinfo` says of an address: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[Any, Any, int, str, Any]

#: Whether a guarded call may go to this machine. Never; a test of TLS has nowhere else to go.
ALLOW_LOOPBACK = False


class Lookups:
    """Names that are being looked up, at most so many at a time: a thread outlives the call that it was begun for."""

    def __init__(self, most: int) -> None:
        self._lock, self._places = threading.Lock(), threading.BoundedSemaphore(most)
        self._lookups: dict[tuple[str, int], Future[list[AddressInfo]]] = {}

    def resolve(self, name: str, port: int, exchange: Exchange) -> list[AddressInfo]:
        """The addresses of a host. Raises socket.gaierror, TimeoutError, or UnicodeError for what is no name."""
        if parse_ip(name) is not None:
            return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        name.encode("idna")  # getaddrinfo does it as well, and says no more than "encoding error"
        return self._look_up(name, port, exchange).result(exchange.left())

    def _look_up(self, name: str, port: int, exchange: Exchange) -> Future[list[AddressInfo]]:
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:
                return lookup
        if not self._places.acquire(timeout=exchange.left()):
            raise TimeoutError("too many names are being looked up")
        with self._lock:
            if (lookup := self._lookups.get((name, port))) is not None:  # another has begun it while this one waited
                self._places.release()
                return lookup
            lookup = self._lookups[name, port] = Future()
        self._start(name, port, lookup)
        return lookup

    def _start(self, name: str, port: int, lookup: Future[list[AddressInfo]]) -> None:
        try:
            threading.Thread(target=self._ask, args=(name, port, lookup), name="lookup", daemon=True).start()
        except RuntimeError as problem:  # the machine has no thread left
            lookup.set_exception(socket.gaierror(str(problem)))
            self._end(name, port)

    def _ask(self, name: str, port: int, lookup: Future[list[AddressInfo]]) -> None:
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


def parse_ip(host: str) -> IpAddress | None:
    """The address that a host is by itself, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


#: IPv6 networks that stand for IPv4 ones, whatever a gateway makes of them.
_EMBEDDING = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # SIIT
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of a site
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
#: What a cloud's machines reach their host at: global by its number, and never on the internet.
_CLOUD_HOSTS = frozenset({ipaddress.ip_address("168.63.129.16")})  # Azure's WireServer


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the whole internet: what is not known to be global is refused."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or address.scope_id or any(address in network for network in _EMBEDDING):
            return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return address not in _CLOUD_HOSTS and not any(address in network for network in EXTRA_BLOCKED_NET_RANGES)


def are_public(host: str, infos: list[AddressInfo]) -> bool:
    """Whether all addresses of a host are public: a name with one private address does not get another chance."""
    refused = sorted({info[4][0] for info in infos if not _is_public_text(info[4][0])})
    if refused:
        # The log may name them; who gave the host must not learn what is behind it.
        log.warning(
            "address_refused", extra={"host": host, "addresses": refused, "allowed_by": "WEBHOOK_ALLOW_PRIVATE_ADDRESSES"}
        )
    return bool(infos) and not refused


def _is_public_text(text: str) -> bool:
    address = parse_ip(text)
    return address is not None and (is_public(address) or (ALLOW_LOOPBACK and address.is_loopback))
