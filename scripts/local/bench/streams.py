"""What many open, idle pages cost one web process: memory, CPU, and how soon each gets its messages. And how quick hooks are
beside them and beside bodies that never end.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from scripts.commands.migrate import migrate
from scripts.local.demo.http_client import meta_webhook, signed
from scripts.local.embedded import Services
from scripts.local.environment import ROOT, free_port
from scripts.local.front_door import wait_for_answer
from scripts.local.processes import ProcessManager
from shared import config, db
from web.server.gunicorn_conf import raise_descriptor_limit
from web.widget.visitor import new_token, visitor_of

#: Seconds over which idle CPU is measured; every stream sends at least one heartbeat in that time.
IDLE = 30.0
#: Messages that are sent one after the other.
MESSAGES = 200
#: Requests that are measured beside the open streams.
REQUESTS = 100
#: Requests of one address whose bodies do not end, and hooks beside them: how many, and how many a second.
SLOW_BODIES, HOOKS, HOOK_RATE = 1_000, 500, 50.0
#: Seconds for the slow bodies to arrive.
SETTLE = 5.0
#: Connections on which hooks come, as Meta's do.
HOOK_CONNECTIONS = 10
#: Seconds that a step may take.
TIMEOUT = 60.0
#: What is required: KiB of one stream, milliseconds of a hook's p99.
BARS = {"kib_each": 20.0, "hook_p99": 100.0}
SECRET = "bench-secret"
HOOK = "/webhooks/whatsapp/cloud"

Say = Callable[[str], None]

_TENANT = "insert into customer (name) values ('Shop') returning id"
_CHATBOT = "insert into chatbot (customer_id, name) values (%s, 'Bot') returning id"
_CONVERSATION = "insert into conversation (chatbot_id, channel, external_user_id) values (%s, 'widget', %s) returning id"
_NUMBER = "insert into whatsapp_cloud_account (chatbot_id, phone_number_id, access_token) values (%s, '1', 'bench')"
_SEND = """
    insert into message (conversation_id, chatbot_id, channel, role, content, status)
    select id, chatbot_id, channel, 'assistant', %s, 'SENT' from conversation where id = any (%s)
"""


@dataclass(frozen=True)
class Streams:
    """Of one web process. Memory in MiB (resident), CPU in percent of one core, times in milliseconds."""

    streams: int
    open_seconds: float
    memory_before: float
    memory_open: float
    cpu_idle: float
    news_median: float
    news_p95: float
    all_at_once: float
    request_median: float
    request_p95: float
    hook_median: float
    hook_p99: float
    refused: int

    @property
    def kib_each(self) -> float:
        """Memory of one stream."""
        return (self.memory_open - self.memory_before) * 1024 / self.streams


class _Page:
    """A raw connection: 500 instances of a client library would distort the measurement."""

    def __init__(self, port: int, chatbot: str, token: str) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        request = f"GET /api/v1/chatbots/{chatbot}/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.connection.sendall(request.encode())
        self.connection.setblocking(False)


class _PageReader:
    """Reads all pages in one thread."""

    def __init__(self, pages: list[_Page]) -> None:
        self.selector = selectors.DefaultSelector()
        for page in pages:
            self.selector.register(page.connection, selectors.EVENT_READ, page)

    def until(self, marker: bytes, pages: set[_Page]) -> float:
        """Waits until each of these pages has received the marker; returns when the last did."""
        missing, deadline = set(pages), time.monotonic() + TIMEOUT
        while missing:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(missing)} of {len(pages)} pages did not receive {marker!r} within {TIMEOUT:.0f} s.")
            for key, _ in self.selector.select(1.0):
                if marker in key.fileobj.recv(65536):  # type: ignore[union-attr]  # all are sockets
                    missing.discard(key.data)
        return time.monotonic()


def measure(streams: int, data: Path, say: Say) -> Streams:
    """Opens this many streams on one web process with embedded services under `data`."""
    raise_descriptor_limit()
    with ExitStack() as stack:
        services = Services(data)
        services.start()
        stack.callback(services.stop)
        port = free_port(0)
        environment = {**services.environment(), "PORT": str(port), "WEB_CONCURRENCY": "1", "WHATSAPP_APP_SECRET": SECRET}
        # All are of one chatbot, and from one address.
        limits = ("WIDGET_MAX_STREAMS", "WIDGET_ADDRESS_MAX_STREAMS", "WIDGET_CHATBOT_MAX_STREAMS")
        environment |= {"WIDGET_SESSIONS_PER_MINUTE": "1000000", **dict.fromkeys(limits, str(streams))}
        environment["WEB_ADDRESS_UNFINISHED_REQUESTS"] = str(SLOW_BODIES + 100)  # it has to bear them, and does not cut them off
        os.environ.update(environment)
        config.reset()
        migrate(services.database_url)
        stack.callback(db.reset)
        manager = ProcessManager(ROOT / "Procfile", env=dict(os.environ), cwd=ROOT, names=["web"])
        manager.start()
        stack.callback(manager.stop)
        return _measure(streams, port, manager, say)


def _measure(streams: int, port: int, manager: ProcessManager, say: Say) -> Streams:
    chatbot, visitors = _visitors(streams)
    key = str(db.scalar("select public_key from chatbot where id = %s", [chatbot]))
    wait_for_answer(f"http://127.0.0.1:{port}/widget/{key}", TIMEOUT)
    worker = psutil.Process(manager.pids("web")[-1])
    before, begun = worker.memory_info().rss, time.monotonic()
    pages = [_Page(port, key, token) for token, _ in visitors]
    reader = _PageReader(pages)
    opened = reader.until(b"retry:", set(pages)) - begun
    say(f"  {streams} streams are open after {opened:.1f} s")
    cpu_before = sum(worker.cpu_times()[:2])
    time.sleep(IDLE)
    idle = (sum(worker.cpu_times()[:2]) - cpu_before) / IDLE * 100
    memory = worker.memory_info().rss
    conversations = [conversation for _, conversation in visitors]
    pairs = list(zip(pages, conversations, strict=True))[:MESSAGES]
    times = [_send(reader, [page], [conversation]) for page, conversation in pairs]
    together = _send(reader, pages, conversations)
    say("  all messages arrived; now requests beside the open streams")
    requested, refused = _requests(port, key), _refused(port, key, new_token(chatbot))
    hooks = _hooks_beside_slow_bodies(port, chatbot)
    for page in pages:
        page.connection.close()
    mib = 1024 * 1024
    return Streams(
        streams=streams,
        open_seconds=opened,
        memory_before=before / mib,
        memory_open=memory / mib,
        cpu_idle=idle,
        news_median=statistics.median(times),
        news_p95=_p95(times),
        all_at_once=together,
        request_median=statistics.median(requested),
        request_p95=_p95(requested),
        hook_median=statistics.median(hooks),
        hook_p99=statistics.quantiles(hooks, n=100)[-1],
        refused=refused,
    )


def _visitors(count: int) -> tuple[int, list[tuple[str, int]]]:
    chatbot = int(db.scalar(_CHATBOT, [db.scalar(_TENANT)]))
    tokens = [new_token(chatbot) for _ in range(count)]
    conversations = [db.scalar(_CONVERSATION, [chatbot, visitor_of(chatbot, f"Bearer {token}").id]) for token in tokens]
    return chatbot, list(zip(tokens, conversations, strict=True))


_numbers = iter(range(1, 1_000_000))


def _send(reader: _PageReader, pages: list[_Page], conversations: list[int]) -> float:
    """Milliseconds from the statement that saves a message for each page until all have it."""
    marker = f"message-{next(_numbers)}."
    begun = time.monotonic()
    db.rows(_SEND, [marker, conversations])
    return (reader.until(marker.encode(), set(pages)) - begun) * 1000


def _requests(port: int, chatbot: str) -> list[float]:
    with requests.Session() as session:
        session.trust_env = False
        return [_timed(session, f"http://127.0.0.1:{port}/api/v1/chatbots/{chatbot}/sessions") for _ in range(REQUESTS)]


def _timed(session: requests.Session, url: str) -> float:
    begun = time.monotonic()
    session.post(url, timeout=TIMEOUT).raise_for_status()
    return (time.monotonic() - begun) * 1000


def _hooks_beside_slow_bodies(port: int, chatbot: int) -> list[float]:
    """Milliseconds of hooks that come at a steady rate, each from when it was due, while bodies wait for their ends."""
    db.rows(_NUMBER, [chatbot])
    slow = [_slow_body(port) for _ in range(SLOW_BODIES)]
    time.sleep(SETTLE)  # until they are all in
    begun = time.monotonic()
    with requests.Session() as session, ThreadPoolExecutor(HOOK_CONNECTIONS) as senders:
        session.trust_env = False
        times = list(senders.map(lambda number: _hook(session, port, number, begun + number / HOOK_RATE), range(HOOKS)))
    for connection in slow:
        connection.close()
    return times


def _hook(session: requests.Session, port: int, number: int, due: float) -> float:
    time.sleep(max(0.0, due - time.monotonic()))
    body = json.dumps(meta_webhook("1", f"49{number:09d}", "Rui", "When do you ship?", f"hook-{number}")).encode()
    session.post(f"http://127.0.0.1:{port}{HOOK}", body, headers=signed(body, SECRET), timeout=TIMEOUT).raise_for_status()
    return (time.monotonic() - due) * 1000


def _slow_body(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    signature = "sha256=" + "0" * 64
    head = f"POST {HOOK} HTTP/1.1\r\nHost: bench\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: 60000\r\n\r\n{{"
    connection.sendall(head.encode())
    return connection


def _refused(port: int, chatbot: str, token: str) -> int:
    """The HTTP status of one stream too many."""
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{port}/api/v1/chatbots/{chatbot}/events"
    return requests.get(url, headers=bearer, timeout=TIMEOUT, stream=True).status_code


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def lines(result: Streams) -> list[tuple[str, str]]:
    """The rows to print."""
    return [
        ("streams on one process", f"{result.streams}, opened in {result.open_seconds:.1f} s"),
        ("resident memory, MiB", f"{result.memory_before:.0f} before, {result.memory_open:.0f} open"),
        ("of one stream, KiB", f"{result.kib_each:.0f}"),
        ("CPU while idle, % of one core", f"{result.cpu_idle:.1f}"),
        ("from commit to page, ms (median, p95)", f"{result.news_median:.1f}, {result.news_p95:.1f}"),
        ("messages for all pages at once, ms", f"{result.all_at_once:.0f}"),
        ("a request meanwhile, ms (median, p95)", f"{result.request_median:.1f}, {result.request_p95:.1f}"),
        ("a hook beside 1,000 slow bodies as well, ms (median, p99)", f"{result.hook_median:.1f}, {result.hook_p99:.1f}"),
        ("one stream too many", f"HTTP {result.refused}"),
    ]


def missed(result: Streams) -> list[str]:
    """The bars that were not met."""
    found = as_dict(result)
    return [f"{name} is {found[name]:.1f}, at most {bar:.0f} is required" for name, bar in BARS.items() if found[name] > bar]


def as_dict(result: Streams) -> dict[str, Any]:
    """The figures for --json."""
    return {**asdict(result), "kib_each": result.kib_each}
