"""Replies: how soon a page sees a reply that is streamed, and what that costs: from the provider's first word to the page's first
event, and the CPU of streamed replies beside the same ones that nobody looks at.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.local.bench import load
from scripts.local.bench.cost import Cost, cost
from scripts.local.bench.modes import Run
from scripts.local.bench.rig import SMALL, Rig, World
from scripts.local.bench.streams import open_page
from scripts.local.simulator.client import Simulator
from scripts.local.tenants import add_chatbot
from shared import db
from shared.queue_service import enqueue_incoming_message
from web.widget.visitor import new_token, visitor_of

#: Pages whose replies are under way at once, begun one after the other.
PAGES = 20
#: Milliseconds between two words of the provider: 33 words a second, as fast models have it.
PACE = 30
#: Words of an answer.
WORDS = 60
#: Seconds that a round may take.
TIMEOUT = 60.0
_ANSWERS = "select count(*) from message where role = 'assistant' and status = 'SENT'"
_PACED = {"kind": "ai", "fault": "pace", "ms": PACE}
_LATE = {"kind": "ai", "fault": "latency", "ms": PACE * WORDS}


@dataclass
class _Page:
    user: str
    connection: socket.socket
    first_at: int = 0
    events: int = 0
    is_answered: bool = False


def replies(rig: Rig, count: int) -> Run:
    """So many replies, streamed to pages of one web process from one worker process; then so many that nobody looks at."""
    rig.empty()
    rounds = max(1, count // PAGES)
    with (
        Simulator.start() as simulator,
        rig.workers(World(simulator.environment(), []), {}, SMALL) as worker_pids,
        rig.web({"WIDGET_ADDRESS_MAX_STREAMS": "1000"}) as web,
    ):

        def spent() -> Cost:
            return cost([*worker_pids, *web.pids()], [simulator.pid], rig.client)

        with db.transaction():
            chatbot = add_chatbot(knowledge=[("Round", "round unseen warm " + "word " * WORDS)]).id
        key = str(db.scalar("select public_key from chatbot where id = %s", [chatbot]))
        pages = [_open(web.port, key, chatbot) for _ in range(PAGES)]
        streamed, times, events = _streamed(pages, chatbot, rounds, simulator, spent)
        for page in pages:
            page.connection.close()
        simulator.faults([_LATE])  # a whole answer has no words to wait for
        time.sleep(1.0)
        db.rows("delete from open_page")
        unseen = _unseen(pages, chatbot, rounds, spent)
    asked = PAGES * rounds
    return {
        "from the provider's first word to the page, p50 ms": statistics.median(times),
        "from the provider's first word to the page, p99 ms": statistics.quantiles(times, n=100)[-1],
        "events of a reply": events / asked,
        "CPU of a streamed reply, ms": (streamed.worker + streamed.postgres) / asked * 1000,
        "CPU of a reply that nobody looks at, ms": (unseen.worker + unseen.postgres) / asked * 1000,
    }


def _streamed(
    pages: list[_Page], chatbot: int, rounds: int, simulator: Simulator, spent: Callable[[], Cost]
) -> tuple[Cost, list[float], int]:
    """What the rounds cost; the milliseconds of each reply's first word; the events of all."""
    simulator.faults([_PACED])
    _round(pages, chatbot, "warm up")
    simulator.reset()
    simulator.faults([_PACED])
    before, times, events = spent(), list[float](), 0
    for number in range(rounds):
        _round(pages, chatbot, f"round {number}")
        first_words = {row["text"]: row["first_word_ns"] for row in simulator.record("ai") if row["streamed"]}
        times += [(page.first_at - first_words[f"round {number} {page.user}"]) / 1e6 for page in pages]
        events += sum(page.events for page in pages)
    return spent().since(before), times, events


def _unseen(pages: list[_Page], chatbot: int, rounds: int, spent: Callable[[], Cost]) -> Cost:
    before, answered = spent(), int(db.scalar(_ANSWERS))
    for number in range(rounds):
        answered += len(pages)
        _say(pages, chatbot, f"unseen {number}")
        load.until_sent(answered, TIMEOUT)
    return spent().since(before)


def _open(port: int, key: str, chatbot: int) -> _Page:
    """A page whose stream is open, and known to the workers."""
    token = new_token(chatbot)
    connection = open_page(port, key, token)
    while b"retry:" not in connection.recv(65536):
        pass
    return _Page(visitor_of(chatbot, f"Bearer {token}").id, connection)


def _say(pages: list[_Page], chatbot: int, what: str) -> None:
    """Asks for each page, spread over the time that an answer takes."""
    for page in pages:
        time.sleep(PACE * WORDS / len(pages) / 1000)
        enqueue_incoming_message(chatbot_id=chatbot, channel="widget", external_user_id=page.user, content=f"{what} {page.user}")


def _round(pages: list[_Page], chatbot: int, what: str) -> None:
    """Each page asks, and waits for its answer."""
    load.until(lambda: db.scalar("select count(*) from open_page") >= len(pages), "pages are not known to be open", TIMEOUT)
    deadline = time.monotonic() + TIMEOUT
    with selectors.DefaultSelector() as selector:
        for page in pages:
            page.first_at, page.events, page.is_answered = 0, 0, False
            selector.register(page.connection, selectors.EVENT_READ, page)
        asking = threading.Thread(target=_say, args=(pages, chatbot, what))
        asking.start()
        while not all(page.is_answered for page in pages):
            if time.monotonic() > deadline:
                raise RuntimeError(f"A round of {PAGES} questions was not answered within {TIMEOUT:.0f} s.")
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
