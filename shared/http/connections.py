"""The two pools of connections: to services of our own settings, and to addresses that customers give.

Both are urllib3's, below which stand our own sockets (exchange.py) and our own look-up of names (addresses.py). Customers'
connections are made to public addresses only, checked between DNS's answer and the connection, so that a second answer of
DNS (a rebinding attack) is never asked for. They are called through `requests`, which is strict about URLs and headers that
we did not write; services of our own directly, which costs half of the CPU.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from shared.dns.lookups import CUSTOMERS, OWN, AddressInfo, Lookups, parse_ip
from shared.http.addresses import are_public
from shared.http.connecting import connect_first
from shared.http.exchange import Exchange, WireTlsSocket, current
from shared.http.failures import AddressRefused, NameServerSilent, NoPublicAddress, TlsHandshakeFailed

#: Seconds after which an idle connection is not used again. Firewalls forget one without a word after some minutes, servers
#: close theirs after 5 to 75 s; a request on such a connection has an unknown outcome.
MAX_IDLE = 30.0
#: Hosts of our own settings (providers, Meta, gateways; of a local system endpoints as well) whose idle connections are kept, and
#: how many of each: one for each thread of a big process.
OPEN_HOSTS, OPEN_IDLE = 100, 1_000
#: The same for customers' hosts and endpoints. Each idle connection is a file descriptor, of which a process may have only 1,024.
GUARDED_HOSTS, GUARDED_IDLE = 64, 10
#: Statuses of answers that have no body, whatever their headers say (RFC 9112, 6.3).
_BODILESS = (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)
#: Neither retries nor redirects: exceptions and answers come as they are.
ONCE = urllib3.Retry(False, redirect=False)


class _Session(requests.Session):
    """Of a redirect, which nobody follows, requests would read the whole body and parse the Location."""

    def get_redirect_target(self, _response: requests.Response) -> None:
        """None."""
        return None


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
        session = _local.session = _Session()
        session.trust_env = False
        session.headers.clear()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            session.mount(scheme, _GuardedAdapter(max_retries=ONCE))
    return session


class _Response(http.client.HTTPResponse):
    """Skips informational responses, and tells the exchange what the final one is as soon as it is known. Reads more heads than
    http.client does: with lines that are no headers, with several transfer codings, and of statuses that have no body."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._exchange: Exchange = sock.exchange
        self._reader: Any = self.fp

    def begin(self, **limits: Any) -> None:
        """Reads heads until the final one (RFC 9110, 15.2). http.client skips `100 Continue` and takes others for final."""
        super().begin(**limits)
        while self.status < 200:
            if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.UnknownProtocol("an upgrade that nobody asked for")
            self.headers = self.msg = None  # type: ignore[assignment]  # as http.client itself has it before the first head
            super().begin(**limits)
        self._reader.is_in_head = False
        self._frame()
        self._exchange.status = self.status
        if self._reader.is_cut and self.status < 300:  # of an error the status says enough
            raise http.client.IncompleteRead(b"")

    def _read_status(self) -> tuple[str, int, str]:
        self._reader.is_in_head = False
        status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # typeshed has no private members
        self._reader.is_in_head = True
        return status

    def _frame(self) -> None:
        """How the body is framed, where http.client does not see it."""
        codings = [one.strip().lower() for one in ",".join(self.headers.get_all("Transfer-Encoding", [])).split(",")]
        if self.status in _BODILESS:
            self.will_close = self.will_close or self.chunked  # the end of the chunks that it should not have may follow
            self.chunked = False
        elif codings[-1] == "chunked" and not self.chunked:
            self.chunked, self.chunk_left, self.length = True, None, None
            self.will_close = self._check_close()  # type: ignore[attr-defined]
            self.headers["Content-Encoding"] = ", ".join(filter(None, [self.headers.get("Content-Encoding"), *codings[:-1]]))


class _Connection(HTTPConnection):
    """A connection whose every wait ends with the exchange that it serves."""

    response_class = _Response
    lookups: Lookups = OWN

    @property
    def is_connected(self) -> bool:
        """Whether it may serve another exchange: it is open, not idle for long, and nothing is left over of the last one."""
        sock: Any = self.sock
        if sock is None or sock.has_leftover or time.monotonic() - sock.idle_since > MAX_IDLE:
            return False
        return not (isinstance(sock, ssl.SSLSocket) and sock.pending()) and super().is_connected

    def request(self, *arguments: Any, **options: Any) -> None:
        """Sends the request, over the connection that is there or a new one."""
        sock: Any = self.sock  # a WireSocket
        if sock is not None:
            sock.serve(current())
        super().request(*arguments, **options)
        current().request_left = True

    def _addresses(self, exchange: Exchange) -> list[AddressInfo]:
        return self.lookups.resolve(self._dns_host, self.port, exchange.left)  # with the name's trailing dot, if it has one

    def _new_conn(self) -> socket.socket:
        exchange = current()
        exchange.phases.enter("resolve")
        try:
            addresses = self._addresses(exchange)
            exchange.phases.enter("connect")
            sock = connect_first(addresses, exchange)
            exchange.phases.enter("answer")
            return sock
        except UnicodeError:
            raise LocationParseError(self.host) from None
        except socket.gaierror as problem:
            kind = NameServerSilent if problem.errno == socket.EAI_AGAIN else NameResolutionError
            raise kind(self.host, self, problem) from problem
        except TimeoutError as problem:
            raise ConnectTimeoutError(self, "no connection in time") from problem
        except OSError as problem:
            raise NewConnectionError(self, str(problem)) from problem


class _TlsConnection(_Connection, HTTPSConnection):
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


class _PublicOnly(_Connection):
    """Refuses a host that is not public (SSRF). Who gave its name does not learn whether it exists."""

    lookups = CUSTOMERS

    def _addresses(self, exchange: Exchange) -> list[AddressInfo]:
        try:
            infos = super()._addresses(exchange)
        except (socket.gaierror, TimeoutError):
            self._refuse()
        if not are_public(self.host, infos):
            self._refuse()
        return infos

    def _refuse(self) -> NoReturn:
        raise (AddressRefused if parse_ip(self.host) else NoPublicAddress)(self.host)


class _GuardedTlsConnection(_PublicOnly, _TlsConnection):
    pass


class _Pools(urllib3.PoolManager):
    """A server may answer late what nobody waits for any more, and whoever uses that connection next would take it for its own
    answer. So calls that have a key, as those of an endpoint have, share connections with none but their own."""

    def connection_from_host(
        self, host: str | None, port: int | None = None, scheme: str | None = "http", pool_kwargs: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        """The pool of a host, and of the call's key."""
        key = current().key
        if key is not None:  # a pool's headers are a part of urllib3's key, and never sent: each request has its own
            pool_kwargs = {**(pool_kwargs or {}), "headers": {"key": str(key)}}
        return super().connection_from_host(host, port, scheme, pool_kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _PublicOnly


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


def tls_context() -> ssl.SSLContext:
    """Checks certificates; its sockets end with their exchange."""
    context = create_urllib3_context()
    context.load_default_certs()
    context.load_verify_locations(certifi.where())  # a slim container has none of its own, an old one not all
    context.sslsocket_class = WireTlsSocket
    return context


def own_pool(hosts: int, idle: int, **options: Any) -> urllib3.PoolManager:
    """Connections to services of our own settings, with urllib3's `options`. Who calls over them has an exchange under way."""
    return _pool_manager(hosts, idle, {"http": _Pool, "https": _TlsPool}, **options)


def _pool_manager(hosts: int, idle: int, pools: dict[str, type[HTTPConnectionPool]], **options: Any) -> urllib3.PoolManager:
    manager = _Pools(num_pools=hosts, maxsize=idle, ssl_context=_TLS, **options)
    manager.pool_classes_by_scheme = pools
    return manager


# One for all connections, made at import: urllib3 by itself reads the certificates again for each, which is 20 ms of CPU.
_TLS = tls_context()
#: The process's connections, shared by its threads.
OPEN = own_pool(OPEN_HOSTS, OPEN_IDLE)
#: The same, but these refuse addresses that are not public.
GUARDED = _pool_manager(GUARDED_HOSTS, GUARDED_IDLE, {"http": _GuardedPool, "https": _GuardedTlsPool})
