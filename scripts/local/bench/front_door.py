"""Front door: how fast the inbound hook answers beside the whole pipeline: response times at 200 requests a second, and whether
600 a second for twice the time lose anything. Requests are sent when they are due, not when the last one is answered; their time
counts from then.

Meta sends about three statuses for each message, and so does the first load. The others are messages only, more than the
pipeline of a small machine can answer, so that a backlog grows beside them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from scripts.local.bench.isolation import add_tenants
from scripts.local.bench.modes import Run
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import Rig, World
from scripts.local.processes import BEHIND_WEB
from scripts.local.simulator.client import Simulator
from scripts.local.simulator.hooks import meta_message, meta_report, signed_by_meta
from shared import db

#: Requests a second, of the mixed and the plain load and of the flood; the flood lasts twice as long.
RATE, FLOOD = 200, 600
#: Requests of the mixed load for one message: the others are statuses.
MIX = 4
TENANTS, WEB_PROCESSES = 3, "2"
#: Connections that the load generator keeps open, as Meta does.
CONNECTIONS = 64
#: Seconds an answer may take; then the request is repeated, as Meta does.
ANSWER_TIMEOUT = 20.0
#: Senders, in turn. Messages of one sender are accepted one after the other (message_accept_v1 in schema.sql).
SENDERS = 1_000
SECRET = "bench-secret"

_KEPT = """
    select count(distinct payload ->> 'external_id') from job
    where queue = 'incoming-messages' and payload ->> 'external_id' like %s
"""
_REPLIES = """
    select m.id, m.external_id, c.phone_number_id from message m join whatsapp_cloud_account c on c.chatbot_id = m.chatbot_id
    where m.role = 'assistant' and m.channel = 'whatsapp_cloud' and m.external_id is not null order by m.id limit 500
"""
_NUMBERS = "select phone_number_id from whatsapp_cloud_account where chatbot_id = any (%s) order by id"
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

    def figures(self) -> Run:
        """What was measured. Raises RuntimeError unless each message is in PostgreSQL, once."""
        if self.kept != self.sent:
            raise RuntimeError(f"Counts are not exact: {self.kept} of {self.sent} messages are stored.")
        cuts = statistics.quantiles(self.times, n=1000)
        return {
            "p50 ms": cuts[499],
            "p99 ms": cuts[989],
            "messages stored": float(self.kept),
            "repeated (no 200)": float(self.repeated),
            "replies SENT meanwhile": float(self.answered),
            "took s": self.took,
        }


def front_door(rig: Rig, requests: int) -> Run:
    """So many requests in the first and in the second load, six times as many in the flood, beside all workers."""
    rig.empty()
    seconds = max(1, requests // RATE)
    loads = {"mixed": Load(RATE, seconds, MIX), "plain": Load(RATE, seconds), "flood": Load(FLOOD, 2 * seconds)}
    with Simulator.start(seed=1) as simulator:
        chatbots = add_tenants(TENANTS, simulator.url)
        with (
            rig.workers(World(simulator.environment(), [simulator.pid]), {}) as worker_pids,
            rig.web({"WEB_PROCESSES": WEB_PROCESSES, "WHATSAPP_APP_SECRET": SECRET}) as web,
        ):
            _deprioritise(worker_pids)
            _measure(Load(50, 4), "warm", web.port, chatbots)
            for name, load in loads.items():
                _measure(load, name, web.port, chatbots)
    return {f"{name}, {what}": value for name, load in loads.items() for what, value in load.figures().items()}


def _deprioritise(pids: list[int]) -> None:
    """Gives workers a lower priority than the web processes, as scripts/server does."""
    for pid in pids:
        for thread in psutil.Process(pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, BEHIND_WEB)


def _measure(load: Load, name: str, port: int, chatbots: list[int]) -> None:
    before = int(db.scalar(_ANSWERED))
    progress.tell(f"{name}: {load.rate} requests a second for {load.seconds} s")
    asyncio.run(_load(load, _requests(load, name, chatbots), port))
    load.kept = int(db.scalar(_KEPT, [f"{name}-%"]))
    load.answered = int(db.scalar(_ANSWERED)) - before


def _requests(load: Load, name: str, chatbots: list[int]) -> list[bytes]:
    numbers = [row["phone_number_id"] for row in db.rows(_NUMBERS, [chatbots])]
    replies = db.rows(_REPLIES)
    http_requests = []
    for number in range(load.rate * load.seconds):
        sender, index = number % SENDERS, number // load.messages_in
        if number % load.messages_in == 0 or not replies:
            body = meta_message(numbers[sender % len(numbers)], f"49{sender:09d}1", "Rui", "When do you ship?", f"{name}-{index}")
        else:
            body = _status(replies[number % len(replies)], ("sent", "delivered", "read")[number % 3])
        http_requests.append(_request(json.dumps(body).encode()))
    return http_requests


def _status(reply: dict[str, Any], status: str) -> dict[str, Any]:
    item = {"id": reply["external_id"], "status": status, "biz_opaque_callback_data": f"msg_{reply['id']}"}
    return meta_report(reply["phone_number_id"], statuses=[item])


def _request(body: bytes) -> bytes:
    headers = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= signed_by_meta(body, SECRET)
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
