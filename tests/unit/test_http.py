"""What each failure of a call means: never sent (ConnectFailed), sent (OutcomeUnknown), or never to pass (PermanentError)."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.local.ports import free_port
from scripts.local.simulator.client import Simulator
from shared import http
from shared.ai.clients import CarriedClient
from shared.dns import lookups
from shared.errors import OutcomeUnknown, OutsideFailure, PermanentError
from shared.http import addresses, connections
from shared.http.bulkhead import Bulkhead, Room
from shared.http.exchange import WireTlsSocket
from tests.unit.servers import read_request, serving
from tests.unit.test_http_wire import hurried

#: A name that no DNS may know (RFC 6761), with the word that was once taken for a private address.
UNKNOWN = "https://private-llm.invalid/private/hook"
both_pools = pytest.mark.parametrize("allow_private", [True, False], ids=["open", "guarded"])


def call(url: str, timeout: float = 60.0, **options: Any) -> http.Response:
    """A POST whose deadline is not its end."""
    return http.post(url, b"{}", {}, timeout, **options)


def given_up(url: str, timeout: float = 1.0, **options: Any) -> tuple[OutsideFailure, http.Phases]:
    """How a POST fails that its deadline may end: a longer one if this machine was too busy to connect within it."""
    phases = http.Phases()
    with pytest.raises((http.ConnectFailed, OutcomeUnknown)) as caught:
        call(url, timeout, phases=phases, **options)
    is_early = isinstance(caught.value, http.ConnectFailed) and "tls" not in phases.ms
    return given_up(url, timeout * 4, **options) if is_early and timeout < 100 else (caught.value, phases)


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """The outside world, in its right mind."""
    simulator.reset()
    return simulator


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets guarded calls reach this machine, the only one that a test has."""
    monkeypatch.setattr(addresses, "ALLOW_LOOPBACK", True)
    connections.GUARDED.clear()
    yield
    connections.GUARDED.clear()


@pytest.fixture
def listen() -> Iterator[Callable[..., str]]:
    """Starts servers that give each connection to a function; returns host and port."""
    with serving() as start:
        yield start


def nobody() -> str:
    """Host and port where nothing listens."""
    return f"127.0.0.1:{free_port()}"


@both_pools
def test_a_name_without_an_address_was_never_called(allow_private: bool) -> None:
    with pytest.raises(http.ConnectFailed, match=r"private-llm\.invalid cannot be reached: DNS"):
        call(UNKNOWN, timeout=5.0, allow_private=allow_private)


@both_pools
@pytest.mark.usefixtures("loopback")
def test_a_refused_connection_was_never_called(allow_private: bool) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(http.ConnectFailed, match="refused"):
            call(f"{scheme}://{nobody()}/private", allow_private=allow_private)


@both_pools
@pytest.mark.usefixtures("loopback")
def test_a_connection_that_never_comes_was_never_called(allow_private: bool) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # they fill the backlog; a further SYN gets no answer
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(http.ConnectFailed, match="no connection in time"):
            call(f"http://127.0.0.1:{address[1]}/", timeout=0.3, allow_private=allow_private)
        for one in waiting:
            one.close()


def close(connection: socket.socket) -> None:
    """Hangs up as soon as the other side has said something."""
    connection.recv(1)


def say_nothing(connection: socket.socket) -> None:
    """Reads until the other side hangs up."""
    while connection.recv(4096):
        pass


def speak_plain_http(connection: socket.socket) -> None:
    """Answers TLS with HTTP."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_the_phases_of_a_call_end_where_it_failed(listen: Callable[..., str]) -> None:
    phases = http.Phases()
    with pytest.raises(http.ConnectFailed, match="TLS") as caught:
        call(f"https://{listen(speak_plain_http)}/", phases=phases)
    assert (set(phases.ms), caught.value.call_code) == ({"resolve", "connect", "tls"}, "tls_failed")
    begun = time.monotonic()
    late, phases = given_up(f"http://{listen(say_nothing)}/")
    seconds = time.monotonic() - begun
    assert (set(phases.ms), late.call_code) == ({"resolve", "connect", "answer"}, "timeout")
    assert seconds < sum(phases.ms.values()) <= seconds * 1_000, "milliseconds"


@both_pools
@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize("server", [close, say_nothing, speak_plain_http])
def test_a_failed_tls_handshake_was_never_called(
    listen: Callable[..., str], server: Callable[[socket.socket], None], allow_private: bool
) -> None:
    failed, _ = given_up(f"https://{listen(server)}/private", allow_private=allow_private)
    assert isinstance(failed, http.ConnectFailed)
    assert "the TLS handshake failed" in str(failed)


@both_pools
@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(
    "fault", [{"fault": "reset_after"}, {"fault": "reset_before"}, {"fault": "half"}, {"fault": "timeout"}, {"fault": "drip"}]
)
def test_after_sending_the_outcome_is_unknown(simulator: Simulator, fault: dict[str, Any], allow_private: bool) -> None:
    simulator.faults([{"kind": "webhook", **fault}])
    failed, _ = given_up(f"{simulator.url}/customer/private", allow_private=allow_private)
    assert isinstance(failed, OutcomeUnknown)
    assert "did not answer" in str(failed)


#: Addresses that are not of the whole internet, each with a sibling from the middle of its network.
PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.31.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "100.127.255.254",
    "0.0.0.0",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[::8.8.8.8]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0:8.8.8.8]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:20::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::1]",
    "[2002:808:808::1]",
    "[3fff::1]",
    "[4000::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fe80::1]",
    "[fec0::5]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_guarded_call_refuses_addresses_that_are_not_public(host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(PermanentError, match="is not a public address"):
            call(f"{scheme}://{host}/", allow_private=False)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    parsed = lookups.parse_ip(address)
    assert parsed is not None
    assert addresses.is_public(parsed)


NO_ORACLE = "name.example cannot be reached: DNS knows no public address for it"


@pytest.mark.parametrize(
    "known_as",
    [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "fd00::1"], ["fe80::1%lo"], ["127.0.0.1"], [], None],
    ids=["private", "one of two", "one of two, IPv6", "with a scope", "this machine", "empty answer", "unknown"],
)
def test_who_gave_a_name_does_not_learn_what_is_behind_it(known_as: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def dns(_name: str, port: int, *_: Any, **__: Any) -> Any:
        if known_as is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known_as]

    monkeypatch.setattr(socket, "getaddrinfo", dns)
    with pytest.raises(http.ConnectFailed, match=NO_ORACLE):
        call("http://name.example/hook", allow_private=False)


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost."])
def test_other_ways_to_write_this_machine_are_refused(name: str) -> None:
    with pytest.raises(http.ConnectFailed, match="DNS knows no public address"):
        call(f"http://{name}/", allow_private=False)


def test_a_refused_address_is_not_called(simulator: Simulator) -> None:
    with pytest.raises(PermanentError, match="is not a public address"):
        call(f"{simulator.url}/customer/x", allow_private=False)
    assert simulator.record("webhook") == []


@pytest.mark.usefixtures("loopback")
def test_a_guarded_call_goes_to_the_very_address_that_was_checked(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, names = socket.getaddrinfo, []

    def rebinding_dns(name: str, *arguments: Any, **options: Any) -> Any:
        names.append(name)
        return resolve("127.0.0.1" if name == "shop.example" and len(names) == 1 else name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding_dns)
    port = simulator.url.rpartition(":")[2]
    assert call(f"http://shop.example:{port}/customer/x", allow_private=False).ok
    assert names == ["shop.example"]


@both_pools
@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://shop.example/x", "http://a..b/x", "http://[::1/x", ""])
def test_what_is_no_url_is_permanent(url: str, allow_private: bool) -> None:
    with pytest.raises(PermanentError, match="cannot be called; a URL must be like"):
        call(url, allow_private=allow_private)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("model_not_found", "model_not_found"),
        (2494010, "2494010"),
        (491701234567, ""),
        (10**400, ""),
        ("no words", ""),
        ([7], ""),
    ],
)
def test_a_code_that_may_go_to_logs_is_no_words_and_no_phone_number(given: Any, code: str) -> None:
    assert http.code_of(given) == code


def test_no_error_shows_credentials(simulator: Simulator) -> None:
    with pytest.raises(http.ConnectFailed) as unreachable:
        call(UNKNOWN.replace("//", "//user:hunter2@"), timeout=1.0)
    with pytest.raises(PermanentError, match="characters that HTTP does not allow") as malformed:
        http.post(f"{simulator.url}/customer/x", b"{}", {"Authorization": "Bearer hunter2\n"}, 1.0)
    assert "hunter2" not in f"{unreachable.value} {malformed.value}"


def test_both_kinds_of_no_answer_take_slots_from_an_endpoint() -> None:
    class NoThreads:
        size = 8

        def add_thread(self) -> bool:
            return False

        def retire_thread(self) -> None:
            raise AssertionError

    bulkhead, room = Bulkhead(NoThreads()), Room("the endpoint", 1)
    with pytest.raises(http.ConnectFailed), bulkhead.slot(room, age=0):
        call(UNKNOWN, timeout=1.0, allow_private=False)
    assert bulkhead._rooms[room].slots < 32


def test_a_response_is_read_up_to_64_kib(simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "big"}])
    response = call(f"{simulator.url}/customer/x")
    assert len(response.body) == http.MAX_RESPONSE_BYTES


@both_pools
@pytest.mark.usefixtures("loopback")
def test_a_connection_is_kept_unless_its_response_was_cut_short(simulator: Simulator, allow_private: bool) -> None:
    url = f"{simulator.url}/customer/x"
    manager = connections.OPEN if allow_private else connections.GUARDED
    manager.clear()
    for _ in range(3):
        assert call(url, allow_private=allow_private).ok
    pool = manager.connection_from_url(url)
    assert pool.num_connections == 1
    assert call(url, max_bytes=1, allow_private=allow_private).body == b"{"
    assert call(url, allow_private=allow_private).ok
    assert pool.num_connections == 1, "the same, opened again"
    assert [one["path"] for one in simulator.record("webhook")] == ["/customer/x"] * 5


@both_pools
@pytest.mark.usefixtures("loopback")
def test_endpoints_of_one_host_share_no_connection(allow_private: bool) -> None:
    """What one of them answers too late would be taken for the answer of the other."""
    opened: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        opened.append(connection)
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with serving() as serve:
        url = f"http://{serve(answer)}/"
        for endpoint, connections_so_far in ((1, 1), (2, 2), (1, 2), (2, 2), (None, 3), (None, 3)):
            key = endpoint and ("endpoint", endpoint)
            assert call(url, allow_private=allow_private, key=key).status == 204
            assert len(opened) == connections_so_far


HELLO = gzip.compress(b"hello")


@pytest.mark.parametrize(
    "response",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(HELLO), HELLO),
        b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(HELLO), HELLO),
    ],
    ids=["length", "until closed", "chunked", "gzip", "gzip, chunked"],
)
def test_a_body_is_read_however_it_comes(listen: Callable[..., str], response: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        for byte in b"HTTP/1.1 200 OK\r\n" + response:
            connection.sendall(bytes([byte]))

    answered = call(f"http://{listen(answer)}/")
    assert (answered.status, answered.body) == (200, b"hello")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"Content-Le",
        b"Content-Length: 6\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nl",
        b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["no headers", "header cut", "short", "chunk cut", "no chunk", "no gzip"],
)
def test_an_answer_that_does_not_end_well_leaves_the_outcome_unknown(listen: Callable[..., str], response: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + response)

    with pytest.raises(OutcomeUnknown):
        call(f"http://{listen(answer)}/")
    assert call(f"http://{listen(answer)}/", needs_body=False).status == 200


def test_redirects_are_not_followed(simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "redirect", "times": 1}])
    assert call(f"{simulator.url}/customer/x").status == 302
    assert len(simulator.record("webhook")) == 1


@both_pools
@pytest.mark.usefixtures("loopback")
def test_tls_checks_the_name_of_the_url(
    listen: Callable[..., str], certificate: Path, monkeypatch: pytest.MonkeyPatch, allow_private: bool
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    sni: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: sni.append(name)

    def answer(connection: socket.socket) -> None:
        try:
            with server.wrap_socket(connection, server_side=True) as encrypted:
                read_request(encrypted)
                encrypted.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        except OSError:
            pass  # the client refused the certificate

    port = listen(answer).rpartition(":")[2]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *more, **options: resolve(name and "127.0.0.1", *more, **options))
    context = ssl.create_default_context()
    context.sslsocket_class = WireTlsSocket
    manager = connections.OPEN if allow_private else connections.GUARDED
    monkeypatch.setitem(manager.connection_pool_kw, "ssl_context", context)
    with pytest.raises(http.ConnectFailed, match=r"the TLS handshake failed: self.signed certificate"):
        call(f"https://shop.example:{port}/", allow_private=allow_private)
    context.load_verify_locations(certificate)
    assert call(f"https://shop.example:{port}/", allow_private=allow_private).status == 204
    with pytest.raises(http.ConnectFailed, match=r"not valid for 'other\.example'"):
        call(f"https://other.example:{port}/", allow_private=allow_private)
    assert sni == ["shop.example", "shop.example", "other.example"]


def test_a_library_of_httpx_is_carried(listen: Callable[..., str]) -> None:
    requests: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        head = b"Connection: close\r\nSet-Cookie: tracked=1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(HELLO)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + HELLO)

    client, url = CarriedClient(max_bytes=4), f"http://{listen(answer)}/v1"
    for _ in range(2):
        assert client.post(url, json={"a": 1}, headers={"Authorization": "Bearer key"}).content == b"hell"
    for request in requests:
        assert b"authorization: Bearer key" in request
        assert b"accept-encoding: identity" in request.lower()
        assert b"tracked" not in request


def test_failures_reach_a_library_of_httpx_in_its_own_classes(listen: Callable[..., str]) -> None:
    client = CarriedClient(max_bytes=4)
    with pytest.raises(httpx2.ConnectError, match="DNS"):
        client.get(UNKNOWN)
    with pytest.raises(httpx2.ReadError, match="did not answer"):
        client.get(f"http://{listen(close)}/")
    silent = f"http://{listen(say_nothing)}/"
    with pytest.raises(httpx2.ReadError, match="did not answer"):
        hurried(lambda timeout: client.get(silent, timeout=timeout), httpx2.ConnectError)
    with pytest.raises(PermanentError):
        client.get("http://a..b/")
