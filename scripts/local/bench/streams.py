"""Streams: what many open, idle pages cost one web process: memory, CPU, and how soon each gets its messages. And how quick hooks
are beside them and beside bodies that never end.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests

from scripts.local.bench.modes import Run
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import Rig, Web
from scripts.local.simulator.hooks import meta_message, signed_by_meta
from scripts.local.tenants import add_chatbot, connect_number
from shared import db
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
SECRET, NUMBER = "bench-secret", "1"
HOOK = "/webhooks/whatsapp/cloud"

_CONVERSATION = "insert into conversation (chatbot_id, channel, external_user_id) values (%s, 'widget', %s) returning id"
_SEND = """
    insert into message (conversation_id, chatbot_id, channel, role, content, status)
    select id, chatbot_id, channel, 'assistant', %s, 'SENT' from conversation where id = any (%s)
"""
_markers = (f"message-{number}." for number in itertools.count())


def streams(rig: Rig, pages: int) -> Run:
    """Opens this many pages on one web process. Memory in MiB (resident), CPU in percent of one core."""
    raise_descriptor_limit()
    rig.empty()
    # All are of one chatbot, and from one address.
    limits = ("WIDGET_MAX_STREAMS", "WIDGET_ADDRESS_MAX_STREAMS", "WIDGET_CHATBOT_MAX_STREAMS")
    settings = {"WHATSAPP_APP_SECRET": SECRET, "WIDGET_SESSIONS_PER_MINUTE": "1000000", **dict.fromkeys(limits, str(pages))}
    settings["WEB_ADDRESS_UNFINISHED_REQUESTS"] = str(SLOW_BODIES + 100)  # it has to bear them, and does not cut them off
    chatbot, visitors = _visitors(pages)
    key = str(db.scalar("select public_key from chatbot where id = %s", [chatbot]))
    with rig.web(settings) as web:
        figures = _beside_pages(web, key, visitors)
        _check_refused(web, key, new_token(chatbot))
        hooks = _hooks_beside_slow_bodies(web)
    return figures | {
        "a hook beside slow bodies, median ms": statistics.median(hooks),
        "a hook beside slow bodies, p99 ms": statistics.quantiles(hooks, n=100)[-1],
    }


def _beside_pages(web: Web, key: str, visitors: list[tuple[str, int]]) -> Run:
    """Opens a page for each visitor and leaves it open. What that costs, and how long everything else takes beside it."""
    worker = psutil.Process(web.pids()[-1])
    before, begun = worker.memory_info().rss, time.monotonic()
    pages = [open_page(web.port, key, token) for token, _ in visitors]
    reader = _PageReader(pages)
    opened = reader.until(b"retry:", pages) - begun
    progress.tell(f"{len(pages)} pages are open after {opened:.1f} s")
    cpu_before = sum(worker.cpu_times()[:2])
    time.sleep(IDLE)
    idle = (sum(worker.cpu_times()[:2]) - cpu_before) / IDLE * 100
    memory = worker.memory_info().rss
    conversations = [conversation for _, conversation in visitors]
    times = [_send(reader, [page], [to]) for page, to in list(zip(pages, conversations, strict=True))[:MESSAGES]]
    together = _send(reader, pages, conversations)
    requested = _requests(web, key)
    mib = 1024 * 1024
    return {
        "opened in, s": opened,
        "memory before, MiB": before / mib,
        "memory with pages, MiB": memory / mib,
        "memory of a page, KiB": (memory - before) / 1024 / len(pages),
        "CPU while idle, %": idle,
        "from commit to page, median ms": statistics.median(times),
        "from commit to page, p95 ms": _p95(times),
        "messages for all at once, ms": together,
        "a request meanwhile, median ms": statistics.median(requested),
        "a request meanwhile, p95 ms": _p95(requested),
    }


def open_page(port: int, key: str, token: str) -> socket.socket:
    """A visitor's page, which asks for its events. A client library would distort the measurement."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    request = f"GET /api/v1/chatbots/{key}/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(request.encode())
    return connection


class _PageReader:
    """Reads all pages in one thread."""

    def __init__(self, pages: Iterable[socket.socket]) -> None:
        self.selector = selectors.DefaultSelector()
        for page in pages:
            page.setblocking(False)
            self.selector.register(page, selectors.EVENT_READ, page)

    def until(self, marker: bytes, pages: Iterable[socket.socket]) -> float:
        """Waits until each of these pages has received the marker; returns when the last did."""
        missing, deadline = set(pages), time.monotonic() + TIMEOUT
        while missing:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(missing)} pages did not receive {marker!r} within {TIMEOUT:.0f} s.")
            for key, _ in self.selector.select(1.0):
                if marker in key.data.recv(65536):
                    missing.discard(key.data)
        return time.monotonic()


def _visitors(count: int) -> tuple[int, list[tuple[str, int]]]:
    with db.transaction():
        chatbot = add_chatbot()
        connect_number(chatbot, NUMBER)
    tokens = [new_token(chatbot.id) for _ in range(count)]
    users = [visitor_of(chatbot.id, f"Bearer {token}").id for token in tokens]
    conversations = [db.scalar(_CONVERSATION, [chatbot.id, user]) for user in users]
    return chatbot.id, list(zip(tokens, conversations, strict=True))


def _send(reader: _PageReader, pages: list[socket.socket], conversations: list[int]) -> float:
    """Milliseconds from the statement that saves a message for each page until all have it."""
    marker, begun = next(_markers), time.monotonic()
    db.rows(_SEND, [marker, conversations])
    return (reader.until(marker.encode(), pages) - begun) * 1000


def _requests(web: Web, key: str) -> list[float]:
    with requests.Session() as session:
        session.trust_env = False
        return [_timed(session, f"{web.url}/api/v1/chatbots/{key}/sessions") for _ in range(REQUESTS)]


def _timed(session: requests.Session, url: str) -> float:
    begun = time.monotonic()
    session.post(url, timeout=TIMEOUT).raise_for_status()
    return (time.monotonic() - begun) * 1000


def _hooks_beside_slow_bodies(web: Web) -> list[float]:
    """Milliseconds of hooks that come at a steady rate, each from when it was due, while bodies wait for their ends."""
    slow = [_slow_body(web.port) for _ in range(SLOW_BODIES)]
    time.sleep(SETTLE)  # until they are all in
    begun = time.monotonic()
    with requests.Session() as session, ThreadPoolExecutor(HOOK_CONNECTIONS) as senders:
        session.trust_env = False
        times = list(senders.map(lambda number: _hook(session, web, number, begun + number / HOOK_RATE), range(HOOKS)))
    for connection in slow:
        connection.close()
    return times


def _hook(session: requests.Session, web: Web, number: int, due: float) -> float:
    time.sleep(max(0.0, due - time.monotonic()))
    body = json.dumps(meta_message(NUMBER, f"49{number:09d}", "Rui", "When do you ship?", f"hook-{number}")).encode()
    session.post(f"{web.url}{HOOK}", body, headers=signed_by_meta(body, SECRET), timeout=TIMEOUT).raise_for_status()
    return (time.monotonic() - due) * 1000


def _slow_body(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    signature = "sha256=" + "0" * 64
    head = f"POST {HOOK} HTTP/1.1\r\nHost: bench\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: 60000\r\n\r\n{{"
    connection.sendall(head.encode())
    return connection


def _check_refused(web: Web, key: str, token: str) -> None:
    """Raises RuntimeError unless one stream too many is refused."""
    with open_page(web.port, key, token) as connection:
        answer = connection.recv(65536).split(b"\r\n")[0].decode()
    if " 503 " not in answer:
        raise RuntimeError(f"One stream too many was answered with {answer!r} instead of 503.")


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]
