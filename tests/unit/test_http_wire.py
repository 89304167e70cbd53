"""Servers that answer in every way there is: a call ends in time with an outcome, and the next one gets its own answer."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import http
from shared.ai.clients import CarriedClient
from shared.dns import lookups
from shared.errors import OutcomeUnknown, OutsideFailure
from shared.http import addresses, client, connections
from tests.unit.servers import PATIENCE, ClientStayed, Handle, Servers, drip, dripping, read_request, serving, wait_for_end

#: Seconds of a call's deadline. What ends a call is the order of events: the servers that have no end wait for the client's.
TIMEOUT = 0.3
#: A deadline that is not the end of a call which ends for another reason: the servers would hang up before.
FAR = 600.0
both_pools = pytest.mark.parametrize("allow_private", [True, False], ids=["open", "guarded"])


@pytest.fixture(scope="module", autouse=True)
def loopback() -> Iterator[None]:
    """Lets guarded calls reach this machine, the only one that a test has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "ALLOW_LOOPBACK", True)
        yield
    for manager in (connections.OPEN, connections.GUARDED):
        manager.clear()  # a connection is kept for each host, and here each server is one


@pytest.fixture(scope="module")
def serve() -> Iterator[Servers]:
    """Starts servers that give each connection to a function, in a thread of its own; returns host and port."""
    with serving() as start:
        yield start


@pytest.fixture(autouse=True)
def no_call_waits_for_the_servers_end(serve: Servers) -> Iterator[None]:
    """What has no end is left by the client, at its deadline or before."""
    yield
    assert serve.stayed == []


def hurried(ask: Callable[[float], Any], busy: type[Exception] = http.ConnectFailed) -> Any:
    """What is asked with a short deadline; with longer ones as long as this machine is too busy to connect within it."""
    for timeout in (TIMEOUT, 10 * TIMEOUT):
        with suppress(busy):
            return ask(timeout)
    return ask(100 * TIMEOUT)


def call(url: str, timeout: float | None = None, busy: type[Exception] = http.ConnectFailed, **options: Any) -> http.Response:
    """A POST with this deadline, or a short one."""

    def post(timeout: float) -> http.Response:
        return http.post(url, b"{}", {}, timeout, **options)

    return cast(http.Response, hurried(post, busy)) if timeout is None else post(timeout)


# ------------------------------------------------------------------------------------------------------ without an end

#: What is sent at once, and what is repeated a byte at a time for as long as anybody listens.
ENDLESS = {
    "status line": (b"", b"H"),
    "reason": (b"HTTP/1.1 200 ", b"x"),
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "header lines": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    "body until closed": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunk extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "gzip of nothing": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    "silence": (b"", b""),
    "silence after the head": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
}


@both_pools
@pytest.mark.parametrize("where", ENDLESS)
def test_a_response_without_an_end_is_cut_at_the_deadline(serve: Servers, where: str, allow_private: bool) -> None:
    start, again = ENDLESS[where]
    with pytest.raises(OutcomeUnknown, match="did not answer"):
        call(f"http://{serve(dripping(start, again))}/", allow_private=allow_private)


@pytest.mark.parametrize("where", ["header lines", "103 Early Hints", "trailers", "gzip of nothing"])
def test_a_flood_is_cut_before_the_deadline(serve: Servers, where: str) -> None:
    start, again = ENDLESS[where]

    def flood(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(start)
        while True:
            connection.sendall(again * 1000)

    with pytest.raises(OutcomeUnknown, match="did not answer: "):
        call(f"http://{serve(flood)}/", timeout=FAR, max_bytes=1024)


@both_pools
def test_a_status_whose_body_does_not_end_is_known(serve: Servers, allow_private: bool) -> None:
    for where in ("body", "chunk", "trailers", "gzip of nothing", "silence after the head"):
        address = serve(dripping(*ENDLESS[where]))
        answer = call(f"http://{address}/", busy=OutsideFailure, allow_private=allow_private, needs_body=False)
        assert answer.status == 200, where


@both_pools
def test_a_server_that_does_not_read_the_request_is_cut_at_the_deadline(serve: Servers, allow_private: bool) -> None:
    is_over = threading.Event()

    def read_nothing(_: socket.socket) -> None:
        if not is_over.wait(PATIENCE):
            raise ClientStayed

    with pytest.raises(http.ConnectFailed, match="the connection ended before the whole request had left"):
        http.post(f"http://{serve(read_nothing)}/", b"x" * 50_000_000, {}, TIMEOUT, allow_private=allow_private)
    is_over.set()


@both_pools
def test_a_tls_handshake_a_byte_at_a_time_is_cut(serve: Servers, allow_private: bool) -> None:
    def shake_hands(connection: socket.socket) -> None:
        connection.recv(4096)
        drip(connection, b"\x16\x03\x03\x40\x00", b"\x02")

    with pytest.raises(http.ConnectFailed, match="the TLS handshake failed"):
        call(f"https://{serve(shake_hands)}/", 10 * TIMEOUT, allow_private=allow_private)


@both_pools
def test_a_name_that_dns_says_nothing_of_is_given_up(monkeypatch: pytest.MonkeyPatch, allow_private: bool) -> None:
    asked, answer, answered = list[str](), threading.Event(), list[str]()

    def silent_dns(name: str, *_: Any, **__: Any) -> Any:
        asked.append(name)
        answer.wait(PATIENCE)
        answered.append(name)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent_dns)
    for _ in range(3):
        with pytest.raises(http.ConnectFailed, match=r"slow\.example cannot be reached"):
            http.post("http://slow.example/", b"{}", {}, TIMEOUT, allow_private=allow_private)
    assert answered == [], "nobody waited for it"
    assert asked == ["slow.example"], "one thread for a name, however many wait for it"
    answer.set()


@pytest.mark.parametrize(
    ("errno", "words"), [(socket.EAI_AGAIN, "DNS did not answer"), (socket.EAI_NONAME, "DNS knows no address for it")]
)
def test_a_silent_dns_is_not_a_wrong_name(monkeypatch: pytest.MonkeyPatch, errno: int, words: str) -> None:
    def dns(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(errno, "no")

    monkeypatch.setattr(socket, "getaddrinfo", dns)
    with pytest.raises(http.ConnectFailed, match=rf"^ours\.example cannot be reached: {words}$") as failed:
        http.post("http://ours.example/", b"{}", {}, 60)
    assert failed.value.call_code == "dns_failed"


def test_names_that_dns_says_nothing_of_take_so_many_threads_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = list[str](), threading.Event()

    def silent_dns(name: str, *_: Any, **__: Any) -> Any:
        asked.append(name)
        answer.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent_dns)
    few = lookups.Lookups(2)
    monkeypatch.setattr(connections._PublicOnly, "lookups", few)
    for number in range(5):
        with pytest.raises(http.ConnectFailed):
            http.post(f"http://{number}.example/", b"{}", {}, TIMEOUT, allow_private=False)
    assert asked == ["0.example", "1.example"]
    with pytest.raises(http.ConnectFailed):
        http.post("http://ours.example/", b"{}", {}, TIMEOUT)
    assert asked[2:] == ["ours.example"], "what a customer's names hold up, those of our own settings do not wait for"
    answer.set()
    with pytest.raises(http.ConnectFailed, match="knows no"):
        http.post("http://5.example/", b"{}", {}, 60, allow_private=False)
    assert asked[3:] == ["5.example"], "whose answer came has left its place"


def test_a_machine_without_threads_looks_up_no_name_and_loses_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections._PublicOnly, "lookups", lookups.Lookups(1))
    with monkeypatch.context() as patch:

        def no_thread(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(http.ConnectFailed, match=r"shop\.example cannot be reached"):
            http.post("http://shop.example/", b"{}", {}, TIMEOUT, allow_private=False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(http.ConnectFailed, match="knows no"):
        http.post("http://shop.example/", b"{}", {}, 60, allow_private=False)


def test_a_library_of_httpx_has_the_same_deadline(serve: Servers) -> None:
    for where in ("header", "body", "100 Continue"):
        url = f"http://{serve(dripping(*ENDLESS[where]))}/"

        def post(timeout: float, url: str = url) -> None:
            CarriedClient(1024).post(url, json={}, timeout=timeout)

        with pytest.raises(httpx2.ReadError):
            hurried(post, httpx2.ConnectError)


# --------------------------------------------------------------------------------------------------- read as it comes

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def streamed(address: str, take: Any, timeout: float = 30.0, **options: Any) -> http.Response:
    return client.exchange("POST", f"http://{address}/", b"{}", {}, timeout, on_part=take, **options)


@both_pools
def test_parts_are_handed_on_as_they_come(serve: Servers, allow_private: bool) -> None:
    heard = threading.Event()

    def handle(connection: socket.socket) -> None:
        while read_request(connection):
            heard.clear()
            connection.sendall(HEAD + b"5\r\nfirst\r\n")
            assert heard.wait(30), "the first part has to be there before the second is sent"
            connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    def take(part: bytes) -> None:
        parts.append(part)
        heard.set()

    address, parts = serve(handle), list[bytes]()
    for _ in range(2):
        response = streamed(address, take, allow_private=allow_private)
        assert (response.status, response.body) == (200, b"")
    assert parts == [b"first", b"second"] * 2


@both_pools
def test_of_what_is_said_instead_of_a_file_no_more_is_read_than_of_other_answers(serve: Servers, allow_private: bool) -> None:
    """A site that refused each page with 5 MB had that memory of each thread."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        with suppress(OSError):  # nobody reads it to its end
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)

    parts = list[bytes]()
    response = streamed(serve(handle), parts.append, allow_private=allow_private, max_bytes=5_000_000)
    assert (response.status, len(response.body), parts) == (404, client.MAX_RESPONSE_BYTES, [])


@both_pools
@pytest.mark.parametrize("end", [b"", b"0\r\n", b"1\r\nx\r\n" * 50])
def test_a_complete_answer_waits_for_no_end_and_its_leftovers_are_nobodys(
    serve: Servers, end: bytes, allow_private: bool
) -> None:
    def endless_answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"4\r\nDONE\r\n" + end)
        wait_for_end(connection)

    used = list[socket.socket]()

    def handle(connection: socket.socket) -> None:
        used.append(connection)
        endless_answer(connection) if len(used) == 1 else answers(OK)(connection)

    address = serve(handle)
    assert streamed(address, lambda part: 0.1, FAR, allow_private=allow_private).ok
    assert call(f"http://{address}/second", 30.0, allow_private=allow_private).body == b"ok"


def test_a_stream_that_breaks_off_or_falls_silent_is_an_unknown_outcome(serve: Servers) -> None:
    def broken(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"9\r\nha")

    def reset(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"4\r\nhalf\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for handle in (broken, reset):
        with pytest.raises(OutcomeUnknown, match="did not answer"):
            streamed(serve(handle), lambda part: None)
    silent = serve(dripping(HEAD + b"4\r\nhalf\r\n", b""))
    with pytest.raises(OutcomeUnknown, match="did not answer"):
        hurried(lambda timeout: streamed(silent, lambda part: None, timeout))


def test_a_reader_that_has_enough_ends_the_call_with_its_own_error(serve: Servers) -> None:
    address = serve(first_then(HEAD + b"4\r\npart\r\n4\r\nmore\r\n", OK))

    def stop(part: bytes) -> float | None:
        raise LookupError(part)

    with pytest.raises(LookupError):
        streamed(address, stop)
    assert call(f"http://{address}/second", 30.0).body == b"ok"


def test_an_errors_body_is_read_whole_and_no_stream(serve: Servers) -> None:
    parts = list[bytes]()
    response = streamed(serve(answers(b"HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\nwords")), parts.append)
    assert (response.status, response.body, parts) == (400, b"words", [])


# -------------------------------------------------------------------------------------------- ended from another thread


def cancel_soon(key: Any) -> None:
    """Ends the calls of the key, a moment after the first one began."""

    def cancel() -> None:
        while key not in http.keys_of_calls():
            time.sleep(0.01)
        time.sleep(0.2)
        http.cancel_calls(key)

    threading.Thread(target=cancel, daemon=True).start()


@both_pools
@pytest.mark.parametrize("where", ["silence", "header", "body", "body until closed", "103 Early Hints"])
def test_a_call_can_be_ended_from_another_thread(serve: Servers, where: str, allow_private: bool) -> None:
    address = serve(dripping(*ENDLESS[where]))
    for needs_body in (True, False):
        cancel_soon(("endpoint", 1))
        with pytest.raises(http.CallCancelled, match="was ended from here"):
            call(f"http://{address}/", FAR, allow_private=allow_private, key=("endpoint", 1), needs_body=needs_body)
    assert http.keys_of_calls() == set()


def test_only_the_calls_of_the_key_are_ended(serve: Servers) -> None:
    go_on = threading.Event()

    def answer_late(connection: socket.socket) -> None:
        while head := read_request(connection):
            go_on.wait(60)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + head.split()[1][-2:])

    address, answers = serve(answer_late), dict[str, Any]()

    def one(name: str) -> None:
        try:
            answers[name] = call(f"http://{address}/{name}", 60.0, key=name).body
        except http.CallCancelled:
            answers[name] = "cancelled"

    threads = [threading.Thread(target=one, args=(name,)) for name in ("aa", "bb")]
    for thread in threads:
        thread.start()
    while http.keys_of_calls() != {"aa", "bb"}:
        time.sleep(0.01)
    assert http.cancel_calls("aa") == 1
    assert http.cancel_calls("cc") == 0
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == {"aa": "cancelled", "bb": b"bb"}


# --------------------------------------------------------------------------------------------- whose response is whose


def answers(first: bytes, later: bytes = b"") -> Handle:
    """A server that answers the first request with these bytes, and each further one on the connection with its own path."""

    def handle(connection: socket.socket) -> None:
        head = read_request(connection)
        connection.sendall(first)
        if later:
            time.sleep(0.2)
            connection.sendall(later)
        while head := read_request(connection):
            path = head.split()[1]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    return handle


def first_then(first: bytes, second: bytes) -> Handle:
    """A server that answers the first request of its first connection so, and that of every other one otherwise."""
    used = []

    def handle(connection: socket.socket) -> None:
        used.append(connection)
        answers(first if len(used) == 1 else second)(connection)

    return handle


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INFORMATIONAL = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 199 Whatever\r\n\r\n",
]


@both_pools
@pytest.mark.parametrize("before", [*INFORMATIONAL, b"".join(INFORMATIONAL), INFORMATIONAL[2] * 200])
def test_informational_responses_are_not_the_response(serve: Servers, before: bytes, allow_private: bool) -> None:
    for handle in (answers(before + OK), answers(before, OK)):
        address = serve(handle)
        first = call(f"http://{address}/first", 30.0, allow_private=allow_private)
        assert (first.status, first.body) == (200, b"ok")
        assert call(f"http://{address}/second", 30.0, allow_private=allow_private).body == b"/second"


@both_pools
@pytest.mark.parametrize(
    "line",
    [
        b"no colon\r\n",
        b"  folded, and nothing before it\r\n",
        b"X-A: folded\r\n\tonce: more\r\n",
        "Größe: 7\r\n".encode(),
        b"X-\xe9: latin\r\n",
        b": no name\r\n",
        b"From a mailbox\r\n",
        b"Two words: 1\r\n",
        b"Connection : keep-alive\r\n",
        b"<html>\r\n" * 3,
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_a_line_that_is_no_header_hides_no_others(serve: Servers, line: bytes, allow_private: bool) -> None:
    for head in (line + b"Content-Length : 2\r\n\r\nok", line + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"):
        address = serve(answers(b"HTTP/1.1 200 OK\r\n" + head))
        first = call(f"http://{address}/first", FAR, allow_private=allow_private)
        assert (first.status, first.body) == (200, b"ok")
        assert call(f"http://{address}/second", FAR, allow_private=allow_private).body == b"/second"


@both_pools
def test_a_body_in_several_transfer_codings_is_read(serve: Servers, allow_private: bool) -> None:
    packed = gzip.compress(b"hello")
    body = b"%x;x=1\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(packed), packed)
    for codings in (b"Transfer-Encoding: gzip, Chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"):
        address = serve(answers(b"HTTP/1.1 200 OK\r\n" + codings + b"\r\n\r\n" + body))
        assert call(f"http://{address}/first", FAR, allow_private=allow_private).body == b"hello"
        assert call(f"http://{address}/second", FAR, allow_private=allow_private).body == b"/second"


@both_pools
def test_a_body_that_is_compressed_although_nobody_asked_is_read(serve: Servers, allow_private: bool) -> None:
    packed = gzip.compress(b"hello")
    address = serve(answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed)))
    assert call(f"http://{address}/first", FAR, allow_private=allow_private).body == b"hello"
    assert call(f"http://{address}/second", FAR, allow_private=allow_private).body == b"/second"
    bomb = gzip.compress(b"x" * 50_000_000)
    address = serve(answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(bomb), bomb)))
    assert call(f"http://{address}/", FAR, allow_private=allow_private, max_bytes=1000).body == b"x" * 1000


@both_pools
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [b"", b"0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"])
def test_an_answer_that_has_no_body_waits_for_no_chunks(serve: Servers, status: int, body: bytes, allow_private: bool) -> None:
    address = serve(first_then(b"HTTP/1.1 %d No Body\r\nTransfer-Encoding: chunked\r\n\r\n" % status + body, OK))
    first = call(f"http://{address}/first", FAR, allow_private=allow_private)
    assert (first.status, first.body) == (status, b"")
    assert call(f"http://{address}/second", FAR, allow_private=allow_private).body == b"ok"


@both_pools
def test_an_upgrade_is_refused(serve: Servers, allow_private: bool) -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    address = serve(first_then(upgrade + OK, OK))
    with pytest.raises(OutcomeUnknown):
        call(f"http://{address}/first", 30.0, allow_private=allow_private)
    assert call(f"http://{address}/second", 30.0, allow_private=allow_private).body == b"ok"


@both_pools
@pytest.mark.parametrize(
    ("first", "leftover"),
    [
        (OK, b"HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n"),
        (OK, b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"x"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"hello"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 500 Not Yours\r\nContent-Length: 0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"?" * 9000),
    ],
)
def test_a_connection_with_something_left_over_is_not_used_again(
    serve: Servers, first: bytes, leftover: bytes, allow_private: bool
) -> None:
    address = serve(first_then(first + leftover, OK))
    assert call(f"http://{address}/first", 30.0, allow_private=allow_private).status < 400
    assert call(f"http://{address}/second", 30.0, allow_private=allow_private).body == b"ok"


@both_pools
def test_a_connection_that_was_idle_for_long_is_not_used_again(
    serve: Servers, allow_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def handle(connection: socket.socket) -> None:
        used.append(connection)
        answers(OK)(connection)

    address = serve(handle)
    for idle, connections_used in ((30.0, 1), (30.0, 1), (-1.0, 2)):
        monkeypatch.setattr(connections, "MAX_IDLE", idle)
        assert call(f"http://{address}/", 30.0, allow_private=allow_private).ok
        assert len(used) == connections_used


@both_pools
def test_a_host_with_several_addresses_is_called_at_the_first_that_answers(
    serve: Servers, allow_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(serve(answers(OK)).rpartition(":")[2])
    families = (999, socket.AF_INET, socket.AF_INET)  # the first is none that this machine has
    found = [
        (family, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for family, last in zip(families, (3, 2, 1), strict=True)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert call(f"http://three.example:{port}/", 30.0, allow_private=allow_private).body == b"ok"


# ------------------------------------------------------------------------------------------------- every way there is


@dataclass(frozen=True)
class Script:
    """What a server does with one request: `sent` of its bytes, at once or one by one, and then `ending`."""

    response: bytes
    sent: int
    one_by_one: bool
    ending: str


_heads = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n",
        b"HTTP/1.1 429 Slow\r\nRetry-After: nan\r\n",
        b"HTTP/1.1 500\r\n",
        b"HTTP/1.1 999 Odd\r\n",
        b"HTTP/1.1 99 Too Small\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 2x0 OK\r\n",
        b"ICY 200 OK\r\n",
        b"\r\n",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ]
)
_fields = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 2\r\n",
            b"Content-Length: 0\r\n",
            b"Content-Length: 3\r\n",
            b"Content-Length: 2, 2\r\n",
            b"Content-Length: 2, 3\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: +2\r\n",
            b"Content-Length: 2_0\r\n",
            b"Content-Length: nonsense\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Encoding: deflate, br\r\n",
            b"Connection: close\r\n",
            b"Connection: upgrade\r\n",
            b"Set-Cookie: a=b\r\n",
            b"X-Fold: a\r\n b\r\n",
            b"no colon\r\n",
            b": no name\r\n",
            b"X-\xff: \xff\r\n",
            b"X-Null: \x00\r\n",
            b"X-Bare: a\rb\n",
            b"X-Long: " + b"a" * 70_000 + b"\r\n",
            b"X-Many: b\r\n" * 120,
        ]
    ),
    max_size=4,
).map(b"".join)
_bodies = st.sampled_from(
    [
        b"",
        b"ok",
        b"okay",
        b"2\r\nok\r\n0\r\n\r\n",
        b"2;x=y\r\nok\r\n0\r\nTrailer: a\r\n\r\n",
        b"2\r\nokay\r\n0\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nok",
        b"\r\n",
        gzip.compress(b"ok"),
        gzip.compress(b"ok")[:-3],
        OK,
    ]
)
_responses = st.builds(
    lambda before, head, fields, body: b"".join(before) + head + fields + b"\r\n" + body,
    st.lists(st.sampled_from([*INFORMATIONAL, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]), max_size=2),
    _heads,
    _fields,
    _bodies,
)
_scripts = _responses.flatmap(
    lambda response: st.builds(
        Script,
        st.just(response),
        st.one_of(st.just(len(response)), st.integers(0, min(len(response), 400))),
        st.booleans(),
        st.sampled_from(["close", "reset", "stall", "go on"]),
    )
)


@pytest.fixture(scope="module")
def theatre(serve: Servers) -> tuple[str, list[Script]]:
    """A server whose /script plays the last of a list, and which answers any other path with the path."""
    scripts: list[Script] = []

    def handle(connection: socket.socket) -> None:
        while head := read_request(connection):
            path = head.split()[1]
            if path == b"/script":
                if play(scripts[-1], connection):
                    return
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    return serve(handle), scripts


def play(script: Script, connection: socket.socket) -> bool:
    """Plays a script; returns whether the connection is over."""
    sent = script.response[: script.sent]
    # What follows a whole response one by one would come after the next request was sent: nobody can tell it from an answer.
    for piece in (sent[at : at + 1] for at in range(len(sent))) if script.one_by_one and len(sent) < 400 else [sent]:
        connection.sendall(piece)
    if script.ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if script.ending == "stall":
        wait_for_end(connection)
    return script.ending != "go on"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=_scripts, allow_private=st.booleans(), needs_body=st.booleans())
def test_whatever_a_server_does_has_an_outcome_in_time_and_the_next_call_gets_its_own_answer(
    serve: Servers, theatre: tuple[str, list[Script]], script: Script, allow_private: bool, needs_body: bool
) -> None:
    address, scripts = theatre
    scripts.append(script)
    with suppress(OutcomeUnknown, http.ConnectFailed):
        answer = call(f"http://{address}/script", allow_private=allow_private, needs_body=needs_body)
        assert 200 <= answer.status <= 999
        assert len(answer.body) < 1000
    assert serve.stayed == []
    # One by one, with bytes after the response's end, is the one case that HTTP/1.1 itself cannot tell.
    if not script.one_by_one:
        own = f"/{len(scripts)}"
        with suppress(OutcomeUnknown, http.ConnectFailed):  # the server closes a connection that seemed to be good
            assert call(f"http://{address}{own}", 30.0, allow_private=allow_private).body.decode() == own
        assert call(f"http://{address}{own}", 30.0, allow_private=allow_private).body.decode() == own


# ---------------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def serve_tls(
    serve: Servers, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[ssl.SSLSocket], None]], str]:
    """As `serve`, with TLS, for the name shop.example; returns the URL."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    context = connections.tls_context()
    context.load_verify_locations(certificate)
    for manager in (connections.OPEN, connections.GUARDED):
        monkeypatch.setitem(manager.connection_pool_kw, "ssl_context", context)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _name, *more, **options: resolve("127.0.0.1", *more, **options))

    def start(handle: Callable[[ssl.SSLSocket], None]) -> str:
        def encrypted(connection: socket.socket) -> None:
            with server.wrap_socket(connection, server_side=True) as tls:
                handle(tls)

        return f"https://shop.example:{serve(encrypted).rpartition(':')[2]}/"

    return start


@both_pools
@pytest.mark.parametrize("where", ["header", "body", "103 Early Hints", "silence"])
def test_with_tls_the_deadline_is_the_same(serve_tls: Callable[[Handle], str], where: str, allow_private: bool) -> None:
    with pytest.raises(OutcomeUnknown, match=r"did not answer in \d"):
        call(serve_tls(dripping(*ENDLESS[where])), allow_private=allow_private)


@both_pools
def test_with_tls_a_call_can_be_ended_as_well(serve_tls: Callable[[Handle], str], allow_private: bool) -> None:
    url = serve_tls(dripping(*ENDLESS["body"]))
    cancel_soon("tls")
    with pytest.raises(http.CallCancelled):
        call(url, FAR, allow_private=allow_private, key="tls")


@both_pools
@pytest.mark.parametrize("leftover", [b"x", OK, b"x" * 40_000])
def test_with_tls_what_is_left_over_is_noticed_as_well(
    serve_tls: Callable[[Handle], str], leftover: bytes, allow_private: bool
) -> None:
    url = serve_tls(first_then(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown" + leftover, OK))
    assert call(url, 30.0, allow_private=allow_private).body == b"own"
    assert call(url, 30.0, allow_private=allow_private).body == b"ok"


def test_a_server_that_wants_a_certificate_of_ours_was_never_asked(
    serve: Servers, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.load_verify_locations(certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    context = connections.tls_context()
    context.load_verify_locations(certificate)
    monkeypatch.setitem(connections.OPEN.connection_pool_kw, "ssl_context", context)

    def handle(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as encrypted:
            with pytest.raises(ssl.SSLError):
                encrypted.do_handshake()
            while socket.socket.recv(encrypted, 4096):  # its alert would be lost if it closed at once
                pass

    port = serve(handle).rpartition(":")[2]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *more, **options: resolve("127.0.0.1", *more, **options))
    with pytest.raises(http.ConnectFailed, match="wants a TLS certificate of ours"):
        call(f"https://shop.example:{port}/", 30.0)
