"""What the inbound hook costs with the whole pipeline at work: its answer's time at 200 requests a second, and whether 600 a
second for a minute lose anything. Requests leave when they are due, not when the last one is answered, and their time counts
from then.

Meta sends about three statuses for each message; so does the first load. The others are messages only, more than the
pipeline of a small machine can answer: a backlog grows beside them.
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
import requests

from scripts.local.chaos.lab import Lab
from scripts.local.demo.http_client import meta_webhook, signed
from scripts.local.environment import ROOT, free_port
from scripts.local.processes import BEHIND_WEB, ProcessManager
from shared import db

#: Requests a second and seconds: of the mixed and the plain load, and of the flood.
RATE, FLOOD = (200, 30), (600, 60)
#: Requests of the mixed load to one message: the others are statuses.
MIX = 4
#: Connections that Meta holds open to us.
CONNECTIONS = 64
#: Seconds an answer may take; then, as Meta does, the request is made again.
PATIENCE = 20.0
#: People who write, in turn: those of one person wait for each other (message_accept in schema.sql).
PEOPLE = 1_000
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
_ANSWERED = "select count(*) from message where role = 'assistant' and status = 'SENT'"


@dataclass
class Load:
    """Of one rate, every `messages_in`-th request a message.

    `times` are milliseconds of each answer, `again` counts what was sent again for want of a 200.
    """

    rate: int
    seconds: int
    messages_in: int = 1
    times: list[float] = field(default_factory=list)
    again: int = 0
    kept: int = 0
    took: float = 0.0
    answered: int = 0

    @property
    def sent(self) -> int:
        """Different messages."""
        return self.rate * self.seconds // self.messages_in

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share was answered."""
        return statistics.quantiles(self.times, n=1000)[round(share * 1000) - 1]


@dataclass
class FrontDoor:
    """All loads."""

    mixed: Load
    plain: Load
    flood: Load

    @property
    def loads(self) -> tuple[Load, ...]:
        """In the order in which they ran."""
        return self.mixed, self.plain, self.flood

    @property
    def kept_all(self) -> bool:
        """Whether each message that was answered by 200 is in PostgreSQL, once."""
        return all(load.kept == load.sent for load in self.loads)


def measure(lab: Lab, say: Say, rate: Rate = RATE, flood: Rate = FLOOD, processes: int = 2) -> FrontDoor:
    """Starts web processes beside the laboratory's workers and loads them."""
    port = free_port(0)
    settings = {"PORT": str(port), "WEB_PROCESSES": str(processes), "WHATSAPP_APP_SECRET": SECRET, "WEB_HOST": "127.0.0.1"}
    with ExitStack() as stack:
        web = ProcessManager(ROOT / "Procfile", env={**lab.environment, **settings}, cwd=ROOT, names=["web"])
        stack.callback(web.stop)
        web.start()
        _make_way(lab)
        _wait_for(port)
        _measured(Load(50, 4), "warm", port, say)
        return FrontDoor(
            _measured(Load(*rate, MIX), "mixed", port, say),
            _measured(Load(*rate), "plain", port, say),
            _measured(Load(*flood), "flood", port, say),
        )


def _make_way(lab: Lab) -> None:
    """Puts the laboratory's workers behind the web processes, as scripts/server does."""
    for name in lab.processes.restarts():
        for pid in lab.processes.pids(name):
            for thread in psutil.Process(pid).threads():
                os.setpriority(os.PRIO_PROCESS, thread.id, BEHIND_WEB)


def _measured(load: Load, name: str, port: int, say: Say) -> Load:
    before = int(db.scalar(_ANSWERED))
    asyncio.run(_load(load, _requests(load, name), port))
    load.kept = int(db.scalar(_KEPT, [f"{name}-%"]))
    load.answered = int(db.scalar(_ANSWERED)) - before
    say(f"  {name}, {load.rate}/s for {load.seconds} s: {load.kept} of {load.sent} kept, {load.answered} answered meanwhile")
    return load


def _requests(load: Load, name: str) -> list[bytes]:
    numbers = [row["phone_number_id"] for row in db.rows("select phone_number_id from whatsapp_cloud_account order by id")]
    replies = db.rows(_REPLIES)
    made = []
    for number in range(load.rate * load.seconds):
        person, index = number % PEOPLE, number // load.messages_in
        if number % load.messages_in == 0 or not replies:
            told = meta_webhook(numbers[person % len(numbers)], f"49{person:09d}1", "Rui", "When do you ship?", f"{name}-{index}")
        else:
            told = _status(replies[number % len(replies)], ("sent", "delivered", "read")[number % 3])
        made.append(_request(json.dumps(told).encode()))
    return made


def _status(reply: dict[str, Any], status: str) -> dict[str, Any]:
    told = {"id": reply["external_id"], "status": status, "biz_opaque_callback_data": f"msg_{reply['id']}"}
    value = {"metadata": {"phone_number_id": reply["phone_number_id"]}, "statuses": [told]}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}


def _request(body: bytes) -> bytes:
    headers = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(body)), **signed(body, SECRET)}
    head = "".join(f"{header}: {value}\r\n" for header, value in headers.items())
    return f"POST /webhooks/whatsapp/cloud HTTP/1.1\r\n{head}\r\n".encode() + body


async def _load(load: Load, made: list[bytes], port: int) -> None:
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(_Connection(port))
    begun = time.perf_counter()
    tasks = []
    for number, request in enumerate(made):
        due = begun + number / load.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(load, free, request, due)))
    await asyncio.gather(*tasks)
    load.took = time.perf_counter() - begun
    while not free.empty():
        free.get_nowait().close()


async def _send(load: Load, free: asyncio.Queue[_Connection], request: bytes, due: float) -> None:
    while True:
        connection = await free.get()
        try:
            status = await asyncio.wait_for(connection.exchange(request), PATIENCE)
        except (OSError, EOFError, TimeoutError):
            connection.close()
            status = 0
        free.put_nowait(connection)
        if status == 200:
            load.times.append((time.perf_counter() - due) * 1000)
            return
        load.again += 1
        await asyncio.sleep(0.5)


class _Connection:
    """A connection that is kept; a client library would be measured instead."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> int:
        """The status of the answer."""
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
        """The next exchange opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"the web process did not answer within {PATIENCE:.0f} s")


def lines(result: FrontDoor) -> list[tuple[str, ...]]:
    """What to print: name, then a column for each load."""
    rows = {
        "answered within, ms (p50)": [f"{load.quantile(0.5):.1f}" for load in result.loads],
        "answered within, ms (p99)": [f"{load.quantile(0.99):.1f}" for load in result.loads],
        "messages sent, and kept": [f"{load.sent}, {load.kept}" for load in result.loads],
        "sent again (no 200)": [str(load.again) for load in result.loads],
        "replies SENT meanwhile": [str(load.answered) for load in result.loads],
        "took, s": [f"{load.took:.1f}" for load in result.loads],
    }
    return [(name, *cells) for name, cells in rows.items()]
