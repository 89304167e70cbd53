"""How soon a page sees a reply that is streamed, and what that costs: from the provider's first word to the page's first event,
and the CPU of streamed replies beside the same ones that nobody looks at.
"""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from scripts.commands.migrate import migrate
from scripts.local.bench.cost import Cost, cost
from scripts.local.embedded import Services
from scripts.local.environment import ROOT, free_port
from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.queue_service import enqueue_incoming_message
from web.widget.visitor import new_token, visitor_of

#: Pages whose replies are under way at once, begun one after the other; and how often each asks.
PAGES, ROUNDS = 20, 10
#: Milliseconds between two words of the provider: 33 words a second, as fast models have it.
PACE = 30
#: Words of an answer.
WORDS = 60
#: Seconds that a round may take.
TIMEOUT = 60.0
#: Milliseconds from the provider's first word to the page, at most.
BAR = 50.0


@dataclass(frozen=True)
class Replies:
    """Times in milliseconds; CPU in milliseconds for a reply, of worker, web and PostgreSQL together."""

    replies: int
    first_word_p50: float
    first_word_p99: float
    events_each: float
    cpu_streamed: float
    cpu_whole: float


@dataclass
class _Page:
    user: str
    connection: socket.socket
    first_at: int = 0
    events: int = 0
    is_answered: bool = False


def measure(data: Path) -> Replies:
    """Streams replies to pages of one web process, from one worker process, with embedded services under `data`."""
    with ExitStack() as stack:
        services = Services(data)
        services.start()
        stack.callback(services.stop)
        simulator = stack.enter_context(Simulator.start())
        port = free_port(0)
        environment = {**services.environment(), **simulator.environment(), "PORT": str(port), "WEB_CONCURRENCY": "1"}
        environment |= {"CONVERSATION_REPLY_LIMIT": "", "LOG_LEVEL": "WARNING", "WIDGET_ADDRESS_MAX_STREAMS": "1000"}
        os.environ.update(environment)
        config.reset()
        migrate(services.database_url)
        stack.callback(db.reset)
        manager = ProcessManager(ROOT / "Procfile", env=dict(os.environ), cwd=ROOT, names=["web", "worker"])
        manager.start()
        stack.callback(manager.stop)
        return _measure(port, simulator, manager)


def _measure(port: int, simulator: Simulator, manager: ProcessManager) -> Replies:
    simulator.faults([{"kind": "ai", "fault": "pace", "ms": PACE}])
    chatbot = _chatbot()
    key = str(db.scalar("select public_key from chatbot where id = %s", [chatbot]))
    pages = [_open(port, key, chatbot) for _ in range(PAGES)]
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    _round(pages, chatbot, "warm up")
    simulator.reset()
    simulator.faults([{"kind": "ai", "fault": "pace", "ms": PACE}])
    before, times, events = _cost(manager, simulator, client), list[float](), 0
    for number in range(ROUNDS):
        _round(pages, chatbot, f"round {number}")
        first_words = {row["text"]: row["first_word_ns"] for row in simulator.record("ai") if row["streamed"]}
        times += [(page.first_at - first_words[f"round {number} {page.user}"]) / 1e6 for page in pages]
        events += sum(page.events for page in pages)
    streamed = _cost(manager, simulator, client).since(before)
    for page in pages:
        page.connection.close()
    simulator.clear_faults()  # a whole answer has no words to wait for
    simulator.faults([{"kind": "ai", "fault": "latency", "ms": PACE * WORDS}])
    time.sleep(1.0)
    db.rows("delete from open_page")
    before = _cost(manager, simulator, client)
    for number in range(ROUNDS):
        _ask_unseen(pages, chatbot, f"unseen {number}")
    whole = _cost(manager, simulator, client).since(before)
    count = PAGES * ROUNDS
    return Replies(
        replies=count,
        first_word_p50=statistics.median(times),
        first_word_p99=statistics.quantiles(times, n=100)[-1],
        events_each=events / count,
        cpu_streamed=(streamed.worker + streamed.postgres) / count * 1000,
        cpu_whole=(whole.worker + whole.postgres) / count * 1000,
    )


def _chatbot() -> int:
    customer = db.scalar("insert into customer (name) values ('Shop') returning id")
    base = db.scalar("insert into knowledge_base (customer_id, name) values (%s, 'Facts') returning id", [customer])
    answer = "round unseen warm " + "word " * WORDS
    db.rows("insert into knowledge_item (knowledge_base_id, title, content) values (%s, 'Round', %s)", [base, answer])
    row = "insert into chatbot (customer_id, name, knowledge_base_id) values (%s, 'Bot', %s) returning id"
    return int(db.scalar(row, [customer, base]))


def _open(port: int, key: str, chatbot: int) -> _Page:
    """A page whose stream is open, and known to the workers."""
    deadline = time.monotonic() + TIMEOUT
    token = new_token(chatbot)
    request = f"GET /api/v1/chatbots/{key}/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        except ConnectionRefusedError:
            time.sleep(0.1)
            continue
        connection.sendall(request.encode())
        while b"retry:" not in connection.recv(65536):
            pass
        return _Page(visitor_of(chatbot, f"Bearer {token}").id, connection)
    raise RuntimeError(f"The web process did not answer within {TIMEOUT:.0f} s.")


def _say(pages: list[_Page], chatbot: int, what: str) -> None:
    """Asks for each page, spread over the time that an answer takes."""
    for page in pages:
        time.sleep(PACE * WORDS / len(pages) / 1000)
        enqueue_incoming_message(chatbot_id=chatbot, channel="widget", external_user_id=page.user, content=f"{what} {page.user}")


def _round(pages: list[_Page], chatbot: int, what: str) -> None:
    """Each page asks, and waits for its answer."""
    deadline = time.monotonic() + TIMEOUT
    while db.scalar("select count(*) from open_page") < len(pages):
        _check_time(deadline)
        time.sleep(0.1)
    with selectors.DefaultSelector() as selector:
        for page in pages:
            page.first_at, page.events, page.is_answered = 0, 0, False
            selector.register(page.connection, selectors.EVENT_READ, page)
        asking = threading.Thread(target=_say, args=(pages, chatbot, what))
        asking.start()
        while not all(page.is_answered for page in pages):
            _check_time(deadline)
            for key, _ in selector.select(1.0):
                _receive(key.data)
        asking.join()


def _receive(page: _Page) -> None:
    received = page.connection.recv(65536)
    drafts = received.count(b"event: draft")
    if drafts and not page.first_at:
        page.first_at = time.time_ns()
    page.events += drafts
    page.is_answered = page.is_answered or b'"role": "assistant"' in received


def _ask_unseen(pages: list[_Page], chatbot: int, what: str) -> None:
    deadline, before = time.monotonic() + TIMEOUT, _answers()
    _say(pages, chatbot, what)
    while _answers() < before + len(pages):
        _check_time(deadline)
        time.sleep(0.1)


def _answers() -> int:
    return int(db.scalar("select count(*) from message where role = 'assistant' and status = 'SENT'"))


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError(f"A round of {PAGES} questions was not answered within {TIMEOUT:.0f} s.")


def _cost(manager: ProcessManager, simulator: Simulator, client: redis.Redis) -> Cost:
    parents = [psutil.Process(pid) for name in ("web", "worker") for pid in manager.pids(name)]
    pids = {process.pid for parent in parents for process in (parent, *parent.children(recursive=True))}
    return cost(pids, [simulator.pid], client)


def lines(result: Replies) -> list[tuple[str, str]]:
    """The rows to print."""
    first_word = f"{result.first_word_p50:.1f}, {result.first_word_p99:.1f}"
    return [
        ("from the provider's first word to the page, ms (p50, p99)", first_word),
        ("events of a reply", f"{result.events_each:.1f}"),
        ("CPU of a reply that is streamed, ms", f"{result.cpu_streamed:.1f}"),
        ("CPU of the same that nobody looks at, ms", f"{result.cpu_whole:.1f}"),
    ]


def as_dict(result: Replies) -> dict[str, Any]:
    """The figures for --json."""
    return asdict(result)
