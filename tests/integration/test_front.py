"""The front over sockets: odd HTTP, slow clients, large bodies, ends. Nothing takes a thread, and nothing is answered 500."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from http.client import HTTPResponse
from typing import Any, cast

import pytest
import requests
from flask import Response

from shared import config, db
from shared.errors import ServiceDown
from shared.media.folder import FileMissing, StorageDown
from tests.builders import World
from tests.integration.front_door import APP_SECRET, CLOUD, QR_SECRET, FrontDoor, change, webhook, written
from tests.site import Site, serving
from tests.waiting import until
from web.server import admission, connection, front
from web.server.gunicorn_conf import raise_descriptor_limit
from web.server.threads import FairThreads

MIB = 1024 * 1024
#: Seconds for what a busy machine does; nothing is decided by them.
PATIENCE = 60
SHOWN = b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"


@pytest.fixture
def site(door: FrontDoor) -> Iterator[Site]:
    with serving(door.app) as running:
        yield running


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def whole_answer(client: socket.socket) -> HTTPResponse:
    """An answer, however many pieces it comes in."""
    answer = HTTPResponse(client)
    answer.begin()
    return answer


def signed(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def post(path: str, head: bytes, body: bytes = b"") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode() + head + b"\r\n" + body


# ---- odd HTTP

CHUNKED = b"Transfer-Encoding: chunked\r\n"
ODD_BODIES = {
    "chunk size of letters": (CHUNKED, b"ZZ\r\nabc\r\n0\r\n\r\n"),
    "negative chunk size": (CHUNKED, b"-1\r\nabc\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": (CHUNKED, b"F" * 17 + b"\r\nabc"),
    "empty chunk size": (CHUNKED, b"\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than it says": (CHUNKED, b"3\r\nabcdef\r\n0\r\n\r\n"),
    "long chunk extension": (CHUNKED, b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n"),
    "NUL in a chunk size": (CHUNKED, b"3\x00\r\nabc\r\n0\r\n\r\n"),
    "endless trailers": (CHUNKED, b"0\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\n"),
    "a long trailer": (CHUNKED, b"0\r\nX: " + b"y" * 300_000 + b"\r\n\r\n"),
    "another coding": (b"Transfer-Encoding: gzip\r\n", b"abc"),
    "another coding, in chunks": (b"Transfer-Encoding: gzip, chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 5\r\n", b"abcde"),
    "length and chunked": (b"Content-Length: 3\r\n" + CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
    "negative length": (b"Content-Length: -3\r\n", b"abc"),
    "length with a sign": (b"Content-Length: +3\r\n", b"abc"),
    "length of letters": (b"Content-Length: three\r\n", b"abc"),
    "length beyond 64 bits": (b"Content-Length: " + b"9" * 30 + b"\r\n", b"abc"),
    "empty length": (b"Content-Length:\r\n", b""),
    "wrong UTF-8": (b"Content-Length: 4\r\n", b"\xff\xfe{}"),
    "a lone NUL": (b"Content-Length: 1\r\n", b"\x00"),
    "too deep": (b"Content-Length: 60000\r\n", b"[" * 60_000),
    "a huge number": (b"Content-Length: 9000\r\n", b"9" * 9_000),
}
PATHS = (
    CLOUD,
    "/webhooks/whatsapp/qr/s1",
    "/api/v1/chatbots/pk_x/messages",
    "/api/v1/webhook-endpoints",
    "/dashboard/",
    "/nowhere",
)


@pytest.mark.parametrize("name", ODD_BODIES)
def test_odd_bodies_are_no_error_of_ours(site: Site, name: str, caplog: pytest.LogCaptureFixture) -> None:
    head, body = ODD_BODIES[name]
    proofs = SHOWN + b"X-Webhook-Hmac: 0\r\nAuthorization: Bearer sk_" + b"x" * 43 + b"\r\nContent-Type: application/json\r\n"
    for path in PATHS:
        for shown in (b"", proofs):
            status = status_of(site.ask(post(path, head + shown, body)))
            assert 400 <= status < 500 or (status == 0 and len(body) > connection.MAX_HEAD), (path, status)
    assert requests.get(f"{site.url}/healthz", timeout=PATIENCE).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


ODD_HEADS = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "another version": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "raw bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a NUL in the path": b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "percent without digits": b"GET /widget/%zz%2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "wrong UTF-8 in the path": b"GET /widget/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an absolute address": b"GET http://evil.example/widget/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an unknown method": b"BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a websocket": b"GET /healthz2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
    "a NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "a bare line feed": b"GET /healthz HTTP/1.1\nHost: x\nX\n\n",
    "odd Hosts": b"GET /healthz HTTP/1.1\r\nHost: a b,c@d:99999\r\nConnection: close\r\n\r\n",
    "a long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
    "a long path": b"GET /" + b"y" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "many requests ahead": b"GET /widget.js HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000,
}


@pytest.mark.parametrize("name", ODD_HEADS)
def test_odd_heads_are_no_error_of_ours(site: Site, name: str, caplog: pytest.LogCaptureFixture) -> None:
    status = status_of(site.ask(ODD_HEADS[name]))
    assert status in (0, 200) or 400 <= status < 500, "refused, or hung up on; folded headers are read"
    assert requests.get(f"{site.url}/healthz", timeout=PATIENCE).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_header_with_an_underscore_is_nobodys(world: World, monkeypatch: pytest.MonkeyPatch, door: FrontDoor) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    monkeypatch.setenv("WIDGET_SESSIONS_PER_MINUTE", "1")
    config.reset()
    from web.app import create_app

    url = f"/api/v1/chatbots/{db.scalar('select public_key from chatbot')}/sessions"
    with serving(create_app()) as site:
        spoofs = [{"X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": spoof} for spoof in ("192.0.2.2", "192.0.2.3")]
        statuses = [requests.post(site.url + url, headers=spoof, timeout=PATIENCE).status_code for spoof in spoofs]
    assert statuses == [201, 429]


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_a_protocol_that_is_not_spoken_is_passed_over(site: Site, protocol: str) -> None:
    for path in ("/healthz", "/desk/login"):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: {protocol}\r\n\r\n"
        assert status_of(site.ask(head.encode())) == 200, path


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("comes_later", [False, True])
def test_a_body_behind_an_offer_of_another_protocol_is_read(
    site: Site, door: FrontDoor, is_chunked: bool, comes_later: bool
) -> None:
    """As Java's HttpClient sends it. What is behind it is the next request, and a body is none."""
    body = json.dumps(webhook(change(door.number, messages=[written("wamid.1")]))).encode()
    offer = b" HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    head = f"POST {CLOUD}".encode() + offer + f"X-Hub-Signature-256: {signed(body)['X-Hub-Signature-256']}\r\n".encode()
    head += CHUNKED if is_chunked else b"Content-Length: %d\r\n" % len(body)
    content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body
    behind = b"GET /healthz" + offer + b"\r\n" + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    if comes_later:
        with site.raw(head + b"Expect: 100-continue\r\n\r\n") as client:
            assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(content + behind)
            answers = b"".join(iter(partial(client.recv, 65_536), b""))
    else:
        answers = site.ask(head + b"\r\n" + content + behind)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 3
    assert db.scalar("select count(*) from job") == 1


def test_an_empty_body_behind_such_an_offer_ends_the_request(site: Site) -> None:
    """Whoever reads the body would wait for its end."""
    head = f"POST {CLOUD} HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n\r\n"
    answers = site.ask(head.encode() + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"401", b"200"]


def test_two_hosts_are_none(site: Site) -> None:
    """A proxy may take the one, and we the other."""
    assert status_of(site.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")) == 400


@pytest.mark.parametrize(
    ("version", "coding"), [(b"1.1", b"gzip, chunked"), (b"1.1", b"identity, chunked"), (b"1.0", b"chunked")]
)
def test_a_body_whose_end_a_proxy_may_see_elsewhere_is_refused(site: Site, version: bytes, coding: bytes) -> None:
    head = b"POST %b HTTP/%b\r\nHost: x\r\nTransfer-Encoding: %b\r\n" % (CLOUD.encode(), version, coding) + SHOWN
    assert status_of(site.ask(head + b"\r\n2\r\n{}\r\n0\r\n\r\n")) == 400


def test_a_host_that_none_can_be_is_told_so(site: Site) -> None:
    answer = requests.get(f"{site.url}/healthz", headers={"Host": "x" * 100}, timeout=PATIENCE)
    assert answer.status_code == 400
    assert "Host header" in answer.json()["detail"]


# ---- bodies


def test_a_signed_body_is_taken_however_it_comes(site: Site, door: FrontDoor) -> None:
    for number, pieces in enumerate((1, 2, 50)):
        body = json.dumps(webhook(change(door.number, messages=[written(f"wamid.{number}")]))).encode()
        size = len(body) // pieces + 1
        parts = (body[start : start + size] for start in range(0, len(body), size))
        answer = requests.post(site.url + CLOUD, parts if pieces > 1 else body, headers=signed(body), timeout=PATIENCE)
        assert (answer.status_code, answer.text) == (200, "ok")
    assert db.scalar("select count(*) from job") == 3


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_413_and_the_connection_says_that_it_ends(site: Site, chunked: bool) -> None:
    body = b"x" * (3 * MIB + 1)
    data = (body[start : start + MIB] for start in range(0, len(body), MIB)) if chunked else body
    with requests.Session() as session:
        for _ in range(3):
            answer = session.post(site.url + CLOUD, data if not chunked else iter([body]), headers=signed(body), timeout=PATIENCE)
            assert (answer.status_code, answer.headers["Connection"]) == (413, "close")
            assert str(3 * MIB) in answer.json()["detail"]
            assert session.get(f"{site.url}/healthz", timeout=PATIENCE).status_code == 200


UNPROVEN = [
    (CLOUD, {}),
    (CLOUD, {"X-Hub-Signature-256": "sha256=abc"}),
    ("/webhooks/whatsapp/qr/s1", {}),
    ("/api/v1/webhook-endpoints", {}),
    ("/api/v1/webhook-endpoints", {"Authorization": "Bearer nonsense"}),
    ("/dashboard/", {}),
]


@pytest.mark.parametrize(("path", "headers"), UNPROVEN)
def test_a_body_without_proof_is_not_kept(
    site: Site, path: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[int] = []
    monkeypatch.setattr(admission.Body, "grow", lambda self, size: grown.append(size))
    answer = requests.post(site.url + path, b"x" * 1000, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Connection"], grown) == (401, "close", [])
    expecting = post(path, b"Expect: 100-continue\r\nContent-Length: 60000\r\n")
    assert b"100 Continue" not in site.ask(expecting), "it is not even asked for"


def test_a_route_that_takes_no_body_reads_none(site: Site) -> None:
    for method, path in (("GET", "/healthz"), ("DELETE", CLOUD), ("POST", "/nowhere"), ("POST", "/healthz")):
        answer = requests.request(method, site.url + path, data=b"x" * MIB, timeout=PATIENCE)
        assert answer.status_code in (200, 404, 405)
        assert answer.headers["Connection"] == "close"


def test_who_expects_100_is_told_to_go_on(site: Site, door: FrontDoor) -> None:
    body = json.dumps(webhook(change(door.number, messages=[written("wamid.1")]))).encode()
    name, value = next(iter(signed(body).items()))
    head = f"{name}: {value}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n".encode()
    with site.raw(post(CLOUD, head)) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert status_of(client.recv(4096)) == 200


def slow_bodies(site: Site, count: int, size: int = 1) -> list[socket.socket]:
    """Requests whose bodies have begun, and do not end."""
    return [site.raw(post(CLOUD, SHOWN + b"Content-Length: 900000\r\n", b"{" * size)) for _ in range(count)]


def answered(connections: list[socket.socket]) -> list[int]:
    """The statuses of those that were answered within half a second."""
    time.sleep(0.5)
    statuses = []
    for client in connections:
        client.setblocking(False)
        try:
            statuses.append(status_of(client.recv(4096)))
        except BlockingIOError:
            pass
        client.setblocking(True)
    return statuses


def test_an_address_has_so_many_unfinished_requests_and_complete_ones_go_on(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_ADDRESS_UNFINISHED_REQUESTS", "50")
    monkeypatch.setenv("WEB_THREADS", "1")
    config.reset()
    with serving(door.app) as site:
        connections = slow_bodies(site, 80)
        assert [status_of(client.recv(4096)) for client in connections[:30]] == [429] * 30, "the oldest"
        assert answered(connections[30:]) == []
        assert [requests.get(f"{site.url}/healthz", timeout=PATIENCE).status_code for _ in range(5)] == [200] * 5
        for client in connections:
            client.close()
        body = json.dumps(webhook(change(door.number, messages=[written("wamid.1")]))).encode()
        until(lambda: requests.post(site.url + CLOUD, iter([body]), headers=signed(body), timeout=PATIENCE).status_code == 200)


def test_large_bodies_have_a_memory_and_an_address_a_part_of_it(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_BODY_MEMORY_MB", "4")
    config.reset()
    with serving(door.app) as site:
        small = slow_bodies(site, 20, admission.SMALL)
        large = []
        for number in (1, 2, 2):
            large += slow_bodies(site, 1, 450_000)
            until(lambda number=number: len(site.front._admission._large) == number)
        assert status_of(large[0].recv(4096)) == 429, "the oldest large one"
        assert answered([*small, *large[1:]]) == []
        body = json.dumps(webhook(change(door.number, messages=[written("wamid.1")]))).encode()
        assert requests.post(site.url + CLOUD, body, headers=signed(body), timeout=PATIENCE).status_code == 200
        for client in (*small, *large):
            client.close()
        until(lambda: not site.front._admission._bytes and not site.front._admission._unfinished)


def test_the_memory_of_all_is_bounded_and_the_oldest_goes() -> None:
    gate, stopped = admission.Admission(unfinished=10, memory=4 * MIB), []
    with ExitStack() as stack:
        bodies = [stack.enter_context(gate.body(address)) for address in "abcdef"]
        for body in bodies:
            stack.enter_context(gate.unfinished(body))
            body.stop = partial(stopped.append, body.address)
        for body in bodies[:5]:
            body.grow(MIB + admission.SMALL)
        assert stopped == ["a"], "there is room for four"
        assert bodies[0].why_stopped.code == 503
        with pytest.raises(admission.Refused, match="This address"):
            bodies[4].grow(1)
        bodies[5].grow(MIB)
        assert stopped == ["a", "b"]
    assert not gate._bytes
    assert not gate._unfinished
    assert not gate._large


def test_a_body_that_is_complete_is_not_given_up_for_another() -> None:
    gate = admission.Admission(unfinished=10, memory=4 * MIB)
    with gate.body("a") as complete, gate.body("a") as other:
        with gate.unfinished(complete):
            complete.grow(MIB)
        with pytest.raises(admission.Refused, match="This address"):
            other.grow(MIB)


def test_a_body_on_the_disk_that_is_given_up_leaves_its_room_there() -> None:
    gate = admission.Admission(unfinished=1, memory=4 * MIB)
    disk = admission.Admission(unfinished=1, memory=2 * MIB, share=1)
    with gate.body("a") as first, gate.unfinished(first):
        first.grow(MIB)
        first.move(disk)
        with gate.body("a") as second, gate.unfinished(second):
            assert first.why_stopped.code == 429
    assert not disk._bytes
    assert not gate._bytes, "nor more in memory than there is"


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_small_limit_of_unfinished_requests_holds(limit: int) -> None:
    gate, stopped = admission.Admission(unfinished=limit, memory=MIB), []
    with ExitStack() as stack:
        for number in range(6):
            body = stack.enter_context(gate.body("a"))
            body.stop = partial(stopped.append, number)
            stack.enter_context(gate.unfinished(body))
        assert stopped == list(range(6 - limit)), "the oldest, until so many are left"


# ---- turns


def test_addresses_take_turns() -> None:
    ended: list[str] = []

    async def both() -> None:
        threads = FairThreads(1)
        many = [threads.run("a", partial(ended.append, f"a{number}")) for number in range(100)]
        few = [threads.run(address, partial(ended.append, address)) for address in "bc"]
        await asyncio.gather(*many, *few)

    asyncio.run(both())
    assert sorted(ended[:6]) == ["a0", "a1", "a2", "a3", "b", "c"]
    assert [name for name in ended if name.startswith("a")] == [f"a{number}" for number in range(100)]


def test_what_a_thread_raises_is_raised_and_its_place_is_free_again() -> None:
    async def all_three() -> list[Any]:
        threads = FairThreads(1)
        given_up = asyncio.ensure_future(threads.run("a", partial(time.sleep, 0.1)))
        await asyncio.sleep(0)
        given_up.cancel()
        works = [partial(int, "x"), partial(int, "1"), partial(int, "2")]
        return await asyncio.gather(*(threads.run("a", work) for work in works), return_exceptions=True)

    problem, *results = asyncio.run(all_three())
    assert isinstance(problem, ValueError)
    assert results == [1, 2]


# ---- time


def fed_until_answered(*clients: socket.socket) -> None:
    """Each is sent a byte more again and again, until something came back, or its connection ended."""

    def are_answered() -> bool:
        silent = set(clients) - set(select.select(clients, [], [], 0)[0])
        for client in silent:
            with suppress(OSError):
                client.sendall(b" ")
        return not silent

    until(are_answered)


def has_ended(client: socket.socket) -> bool:
    """Whether nothing more comes."""
    try:
        return client.recv(10) == b""
    except ConnectionResetError:
        return True


def test_a_slow_request_ends_when_its_time_is_over(door: FrontDoor) -> None:
    with serving(door.app, request_seconds=1.0) as site:
        nothing, head, body = site.raw(b""), site.raw(b"GET /healthz HTTP/1.1\r\nX-a: "), slow_bodies(site, 1)[0]
        fed_until_answered(head, body)
        assert status_of(body.recv(4096)) == 408
        assert has_ended(head)
        assert has_ended(nothing)


def test_a_connection_is_kept_and_each_request_has_its_own_time(door: FrontDoor) -> None:
    with serving(door.app) as site, site.raw(b"") as client:
        [kept] = until(lambda: cast("set[connection.Connection]", site._server.server_state.connections))
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\n")
            until(lambda: kept._clocks)
            client.sendall(b"Host: x\r\n\r\n")
            answer = whole_answer(client)
            assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')
            until(lambda: not kept._clocks)


@pytest.mark.parametrize("more", [b"\r\n", b"GET /healthz HTTP/1.1\r\nX-a: "])
@pytest.mark.parametrize("is_ahead", [True, False])
def test_what_follows_a_request_has_its_time_as_well(door: FrontDoor, more: bytes, is_ahead: bool) -> None:
    """Line breaks, or half a head; sent with the request, or after its answer, and one byte more from time to time."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(door.app, request_seconds=1.0) as site, site.raw(request + more * is_ahead) as client:
        assert status_of(client.recv(4096)) == 200
        client.sendall(b"\r\n" if more == b"\r\n" else b"y" if is_ahead else more)
        until(lambda: not site._server.server_state.connections)


def test_who_does_not_read_is_cut_off(door: FrontDoor) -> None:
    size = 16 * MIB  # more than the system's buffers hold
    begun = threading.Event()

    def big() -> bytes:
        begun.set()
        return b"x" * size

    door.app.add_url_rule("/big", view_func=big)
    with serving(door.app, request_seconds=1.0) as site:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", site.port))
        client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(PATIENCE)
        until(lambda: not site._server.server_state.connections)
        client.settimeout(PATIENCE)
        received = 0
        with suppress(ConnectionResetError):
            while chunk := client.recv(65_536):
                received += len(chunk)
        client.close()
    assert 0 < received < size, "the rest was not sent"


def test_idle_connections_make_room_for_new_ones(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "max_connections", lambda: 20)
    idle = [site.raw(b"GET / HT" if number % 2 else b"") for number in range(40)]
    assert [requests.get(f"{site.url}/healthz", timeout=PATIENCE).status_code for _ in range(3)] == [200] * 3
    until(lambda: len(site._server.server_state.connections) <= 20)
    for client in idle:
        client.close()


def test_the_soft_limit_of_descriptors_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_000, hard), hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 1_048_576)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("length", [None, 2_000 * 65_536])
def test_a_long_answer_is_made_as_its_client_reads(door: FrontDoor, length: int | None) -> None:
    made, ended = list[int](), threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            for number in range(2_000):
                made.append(number)
                yield b"%08d" % number * 8_192
        finally:
            ended.set()

    headers = {"Content-Length": str(length)} if length else {}
    door.app.add_url_rule("/long", "long", lambda: Response(pieces(), headers=headers))
    door.app.add_url_rule("/broken", "broken", lambda: Response(b"x" * MIB if left else b"%d" % (1 // left) for left in (1, 0)))
    with serving(door.app) as site:
        answer = requests.get(f"{site.url}/long", timeout=PATIENCE)
        assert answer.content == b"".join(b"%08d" % number * 8_192 for number in made)
        assert len(made) == 2_000
        head = requests.head(f"{site.url}/long", timeout=PATIENCE)
        assert head.headers.get("Content-Length") == headers.get("Content-Length"), "none where nobody knows it yet"
        made.clear(), ended.clear()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.connect(("127.0.0.1", site.port))
            client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        until(ended.is_set)
        assert len(made) < 1_000
        with pytest.raises(requests.exceptions.ChunkedEncodingError):  # half of it is not taken for the whole
            requests.get(f"{site.url}/broken", timeout=PATIENCE)


@pytest.mark.parametrize(
    ("why", "event"),
    [
        (FileMissing("7/ab/abcdef"), "answer_broken_off"),  # its person was erased meanwhile
        (StorageDown("the bucket b does not answer: ReadTimeoutError"), "storage_down"),
        (ServiceDown("PostgreSQL is unavailable"), "service_unavailable"),
        (RuntimeError("an error of ours"), "answer_failed"),
    ],
)
def test_what_ends_a_long_answer_is_named_and_cuts_it(
    door: FrontDoor, caplog: pytest.LogCaptureFixture, why: Exception, event: str
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * MIB
        raise why

    door.app.add_url_rule("/long", "long", lambda: Response(pieces(), headers={"Content-Length": str(2 * MIB)}))
    with serving(door.app) as site:
        answer = site.ask(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"x" * MIB)
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == [event]


def test_who_reads_no_large_answer_keeps_room_for_one_of_its_address(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "UNREAD", 80 * MIB)
    large = 16 * MIB
    door.app.add_url_rule("/large", "large", lambda: Response(b"x" * large))
    with serving(door.app) as site, ExitStack() as open_ones:
        readers = [open_ones.enter_context(socket.socket()) for _ in range(3)]
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            reader.settimeout(PATIENCE)
            reader.connect(("127.0.0.1", site.port))
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert reader.recv(1).startswith(b"H")
        assert [_received(reader) >= large for reader in readers] == [False, False, True]
        assert len(requests.get(f"{site.url}/large", timeout=PATIENCE).content) == large


def _received(client: socket.socket) -> int:
    """How many bytes come until the connection ends."""
    received = 0
    with suppress(ConnectionError):
        while part := client.recv(MIB):
            received += len(part)
    return received


def test_the_end_lets_requests_finish_and_waits_for_no_slow_one(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "CLOSING_SECONDS", 1.0)
    begun, go_on = threading.Event(), threading.Event()

    def answer_late() -> str:
        begun.set()
        go_on.wait(PATIENCE)
        return "done"

    door.app.add_url_rule("/slow", view_func=answer_late)
    site = Site(door.app, request_seconds=3_600.0)
    idle, slow, [body] = site.raw(b""), site.raw(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), slow_bodies(site, 1)
    assert begun.wait(PATIENCE)
    until(lambda: site.front._admission._unfinished and len(site._server.server_state.connections) == 3)
    site.begin_stop()
    assert status_of(body.recv(4096)) == 408
    assert idle.recv(10) == b""
    go_on.set()
    answer = whole_answer(slow)
    assert (answer.status, answer.read(), answer.headers["Connection"]) == (200, b"done", "close")
    site.stop()


def test_hooks_are_quick_beside_a_thousand_slow_bodies_and_open_pages(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_ADDRESS_UNFINISHED_REQUESTS", "1001")  # those, and a hook
    monkeypatch.setenv("WEB_THREADS", "2")
    config.reset()
    with serving(door.app, request_seconds=3_600.0) as site:
        connections = slow_bodies(site, 1_000)
        assert answered(connections) == []
        for number in range(20):
            body = json.dumps(webhook(change(door.number, messages=[written(f"wamid.{number}")]))).encode()
            assert requests.post(site.url + CLOUD, body, headers=signed(body), timeout=PATIENCE).status_code == 200
        assert answered(connections) == [], "no hook waited for the end of a slow one"
        for client_socket in connections:
            client_socket.close()


def test_what_a_qr_gateway_sends_has_a_larger_limit_than_the_rest(site: Site, door: FrontDoor) -> None:
    body = json.dumps({"event": "x", "session": door.session, "pad": "x" * 500_000}).encode()
    url = f"{site.url}/webhooks/whatsapp/qr/{door.session}"
    answer = requests.post(url, body, headers={"apikey": QR_SECRET}, timeout=PATIENCE)
    assert answer.status_code == 401, "WAHA signs; but it was read"
    assert "Connection" not in answer.headers or answer.headers["Connection"] != "close"


def test_what_is_ending_anyway_can_be_ended_again() -> None:
    async def ended_twice() -> bool:
        try:
            async with asyncio.timeout(0.0) as reading:
                await asyncio.sleep(0)
                front._end_at(reading, 0.0)
                await asyncio.sleep(1)
        except TimeoutError:
            return True
        return False

    assert asyncio.run(ended_twice())
