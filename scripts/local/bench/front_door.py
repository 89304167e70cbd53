"""How fast the inbound hook answers beside the whole pipeline: response times at 200 requests a second, and whether 600 a second
for a minute lose anything. Requests are sent when they are due, not when the last one is answered; their time counts from then.

Meta sends about three statuses for each message, and so does the first load. The others are messages only, more than the
pipeline of a small machine can answer, so that a backlog grows beside them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psutil

from scripts.local.chaos.harness import Harness
from scripts.local.demo.http_client import meta_webhook, signed
from scripts.local.environment import ROOT, free_port
from scripts.local.front_door import wait_for_answer
from scripts.local.processes import BEHIND_WEB, ProcessManager
from shared import db

#: Requests a second and seconds, for the mixed and the plain load and for the flood.
RATE, FLOOD = (200, 30), (600, 60)
#: Requests of the mixed load for one message: the others are statuses.
MIX = 4
#: Connections that the load generator keeps open, as Meta does.
CONNECTIONS = 64
#: Seconds an answer may take; then the request is repeated, as Meta does.
ANSWER_TIMEOUT = 20.0
#: Senders, in turn. Messages of one sender are accepted one after the other (message_accept_v1 in schema.sql).
SENDERS = 1_000
SECRET = "bench-secret"

Say = Callable[[str], None]
#: Requests a second, for so many seconds.
Rate = tuple[int, int]

_KEPT = """
    select count(distinct payload ->> 'external_id') from job
    where queue = 'incoming-messages' and payload ->> 'external_id' like %s
"""
_REPLIES = """
    select m.id, m.external_id, c.phone_number_id from message m join whatsapp_cloud_account c on c.chatbot_id = m.chatbot_id
    where m.role = 'assistant' and m.channel = 'whatsapp_cloud' and m.external_id is not null order by m.id limit 500
"""
_ANSWERED = "select count(*) from message where role = 'assistant' and status in ('SENT', 'DELIVERED', 'READ')"


@dataclass
class Load:
    """Requests at one rate, of which every `messages_in`-th is a message, and what was measured.

    `times` are the milliseconds of each answer, `repeated` counts requests that were not answered by 200.
    """

    rate: int
    seconds: int
    messages_in: int = 1
    times: list[float] = field(default_factory=list)
    repeated: int = 0
    kept: int = 0
    took: float = 0.0
    answered: int = 0

    @property
    def sent(self) -> int:
        """Distinct messages."""
        return self.rate * self.seconds // self.messages_in

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of the requests was answered."""
        return statistics.quantiles(self.times, n=1000)[round(share * 1000) - 1]


@dataclass
class FrontDoor:
    """The result: all loads."""

    mixed: Load
    plain: Load
    flood: Load

    @property
    def loads(self) -> tuple[Load, ...]:
        """In the order in which they ran."""
        return self.mixed, self.plain, self.flood

    @property
    def kept_all(self) -> bool:
        """Whether each message is in PostgreSQL, once."""
        return all(load.kept == load.sent for load in self.loads)


def measure(harness: Harness, say: Say, rate: Rate = RATE, flood: Rate = FLOOD, processes: int = 2) -> FrontDoor:
    """Starts web processes beside the harness's workers and loads them."""
    port = free_port(0)
    settings = {"PORT": str(port), "WEB_PROCESSES": str(processes), "WHATSAPP_APP_SECRET": SECRET, "WEB_HOST": "127.0.0.1"}
    with ExitStack() as stack:
        web = ProcessManager(ROOT / "Procfile", env={**harness.environment, **settings}, cwd=ROOT, names=["web"])
        stack.callback(web.stop)
        web.start()
        _deprioritise_workers(harness)
        wait_for_answer(f"http://127.0.0.1:{port}/healthz", ANSWER_TIMEOUT)
        _measure_load(Load(50, 4), "warm", port, say)
        return FrontDoor(
            _measure_load(Load(*rate, MIX), "mixed", port, say),
            _measure_load(Load(*rate), "plain", port, say),
            _measure_load(Load(*flood), "flood", port, say),
        )


def _deprioritise_workers(harness: Harness) -> None:
    """Gives the harness's workers a lower priority than the web processes, as scripts/server does."""
    for name in harness.processes.restarts():
        for pid in harness.processes.pids(name):
            for thread in psutil.Process(pid).threads():
                os.setpriority(os.PRIO_PROCESS, thread.id, BEHIND_WEB)


def _measure_load(load: Load, name: str, port: int, say: Say) -> Load:
    before = int(db.scalar(_ANSWERED))
    asyncio.run(_load(load, _requests(load, name), port))
    load.kept = int(db.scalar(_KEPT, [f"{name}-%"]))
    load.answered = int(db.scalar(_ANSWERED)) - before
    say(f"  {name}, {load.rate}/s for {load.seconds} s: {load.kept} of {load.sent} kept, {load.answered} answered meanwhile")
    return load


def _requests(load: Load, name: str) -> list[bytes]:
    numbers = [row["phone_number_id"] for row in db.rows("select phone_number_id from whatsapp_cloud_account order by id")]
    replies = db.rows(_REPLIES)
    http_requests = []
    for number in range(load.rate * load.seconds):
        sender, index = number % SENDERS, number // load.messages_in
        if number % load.messages_in == 0 or not replies:
            body = meta_webhook(numbers[sender % len(numbers)], f"49{sender:09d}1", "Rui", "When do you ship?", f"{name}-{index}")
        else:
            body = _status(replies[number % len(replies)], ("sent", "delivered", "read")[number % 3])
        http_requests.append(_request(json.dumps(body).encode()))
    return http_requests


def _status(reply: dict[str, Any], status: str) -> dict[str, Any]:
    item = {"id": reply["external_id"], "status": status, "biz_opaque_callback_data": f"msg_{reply['id']}"}
    value = {"metadata": {"phone_number_id": reply["phone_number_id"]}, "statuses": [item]}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}


def _request(body: bytes) -> bytes:
    headers = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(body)), **signed(body, SECRET)}
    head = "".join(f"{header}: {value}\r\n" for header, value in headers.items())
    return f"POST /webhooks/whatsapp/cloud HTTP/1.1\r\n{head}\r\n".encode() + body


async def _load(load: Load, http_requests: list[bytes], port: int) -> None:
    idle: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(_Connection(port))
    begun = time.perf_counter()
    tasks = []
    for number, request in enumerate(http_requests):
        due = begun + number / load.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(load, idle, request, due)))
    await asyncio.gather(*tasks)
    load.took = time.perf_counter() - begun
    while not idle.empty():
        idle.get_nowait().close()


async def _send(load: Load, idle: asyncio.Queue[_Connection], request: bytes, due: float) -> None:
    while True:
        connection = await idle.get()
        try:
            status = await asyncio.wait_for(connection.exchange(request), ANSWER_TIMEOUT)
        except (OSError, EOFError, TimeoutError):
            connection.close()
            status = 0
        idle.put_nowait(connection)
        if status == 200:
            load.times.append((time.perf_counter() - due) * 1000)
            return
        load.repeated += 1
        await asyncio.sleep(0.5)


class _Connection:
    """A kept connection: a client library would distort the measurement."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> int:
        """Sends the request; returns the status of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        await reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        return int(head.split(" ", 2)[1])

    def close(self) -> None:
        """Closes it; the next exchange opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def lines(result: FrontDoor) -> list[tuple[str, ...]]:
    """The rows to print: name, then a column for each load."""
    rows = {
        "answered within, ms (p50)": [f"{load.quantile(0.5):.1f}" for load in result.loads],
        "answered within, ms (p99)": [f"{load.quantile(0.99):.1f}" for load in result.loads],
        "messages sent, and stored": [f"{load.sent}, {load.kept}" for load in result.loads],
        "repeated (no 200)": [str(load.repeated) for load in result.loads],
        "replies SENT meanwhile": [str(load.answered) for load in result.loads],
        "took, s": [f"{load.took:.1f}" for load in result.loads],
    }
    return [(name, *cells) for name, cells in rows.items()]
