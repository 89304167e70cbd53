"""The two pools of connections: to services of our own settings, and to addresses that customers give.

Customers' addresses are called through `requests`, for it is strict about URLs, headers and redirects that we did not write;
services of our own through urllib3 below it, which costs 0.21 ms of CPU a call instead of 0.45. Of requests-hardened the
filter is used, at the one moment that matters: between DNS's answer and the connection. Its own adapter would ask DNS again
for each request.
"""

from __future__ import annotations

import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress, get_ip_address
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError
from urllib3.util.ssl_ import create_urllib3_context

from shared.http.failures import AddressRefused, TlsHandshakeFailed

#: Hosts of our own settings (providers, Meta, gateways) whose idle connections are kept, and how many of each: one for each
#: thread of a big process.
OPEN_HOSTS, OPEN_IDLE = 20, 1_000
#: The same for customers' hosts. Each idle connection is a file descriptor, of which a process may have only 1,024.
GUARDED_HOSTS, GUARDED_IDLE = 64, 10
#: Whether a guarded connection may go to this machine. Never; a test of TLS has nowhere else to go.
ALLOW_LOOPBACK = False


class _GuardedAdapter(HTTPAdapter):
    """requests over our guarded pool, which all sessions of the process share."""

    def get_connection_with_tls_context(self, request: Any, *_args: Any, **_options: Any) -> Any:
        """The pool of the request's host."""
        return GUARDED.connection_from_url(request.url)

    def cert_verify(self, *_args: Any) -> None:
        """The pool's TLS context checks certificates; requests would read the file of them for each connection."""


_local = threading.local()


def guarded_session() -> requests.Session:
    """This thread's session for addresses that customers give: public ones only, no redirects, no cookies, no proxies."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = requests.Session()
        session.trust_env = False
        session.headers.clear()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            session.mount(scheme, _GuardedAdapter())
        _local.session = session
    return session


class _TlsConnection(HTTPSConnection):
    """Tells a failed handshake, before which nothing was sent, from an error of TLS later on."""

    def connect(self) -> None:
        try:
            super().connect()
        except HTTPError:  # no TCP connection: its class says so already
            raise
        except ssl.SSLCertVerificationError as problem:
            raise TlsHandshakeFailed(problem.verify_message) from problem
        except (OSError, ValueError) as problem:
            raise TlsHandshakeFailed(getattr(problem, "reason", None) or type(problem).__name__) from problem


class _PublicOnly:
    """Looks the name up once, refuses an address that is not public (SSRF), and connects to that very address.

    A second answer of DNS, the trick of a rebinding attack, is never asked for. `Host` and TLS keep the name.
    """

    def connect(self: Any) -> None:
        name = self.host
        self.host, self.server_hostname = _public_address(self), name
        try:
            super().connect()  # type: ignore[misc]  # of the connection that this class is mixed into
        finally:
            self.host = name


def _public_address(connection: Any) -> str:
    name = connection.host
    try:
        name.encode("idna")
        return str(get_ip_address(name, connection.port, ALLOW_LOOPBACK)[0])
    except InvalidIPAddress:
        raise AddressRefused(name) from None
    except socket.gaierror as problem:
        raise NameResolutionError(name, connection, problem) from problem
    except UnicodeError:
        raise LocationParseError(name) from None


class _GuardedConnection(_PublicOnly, HTTPConnection):
    pass


class _GuardedTlsConnection(_PublicOnly, _TlsConnection):
    pass


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


def _tls_context() -> ssl.SSLContext:
    """One for all connections. urllib3 by itself reads the certificates again for each: 20 ms of CPU."""
    context = create_urllib3_context()
    context.load_default_certs()
    context.load_verify_locations(certifi.where())  # a slim container has none of its own, an old one not all
    return context


def _pool_manager(hosts: int, idle: int, pools: dict[str, type[HTTPConnectionPool]]) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(num_pools=hosts, maxsize=idle, ssl_context=_TLS)
    manager.pool_classes_by_scheme = pools
    return manager


# Made at import: at the first call each thread of the process would make its own.
_TLS = _tls_context()
#: The process's connections, shared by its threads.
OPEN = _pool_manager(OPEN_HOSTS, OPEN_IDLE, {"http": HTTPConnectionPool, "https": _TlsPool})
#: The same, but these refuse addresses that are not public.
GUARDED = _pool_manager(GUARDED_HOSTS, GUARDED_IDLE, {"http": _GuardedPool, "https": _GuardedTlsPool})
