"""What the inbound hook costs with the whole pipeline at work: its answer's time at 200 requests a second, and whether 600 a
second for a minute lose anything. Requests leave when they are due, not when the last one is answered, and their time counts
from then.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import requests

from scripts.local.chaos.lab import Lab
from scripts.local.demo.door import meta_webhook, signed
from scripts.local.environment import ROOT, free_port
from scripts.local.processes import ProcessManager
from shared import db

#: Requests a second and seconds: of the ordinary load, and of the flood.
ORDINARY, FLOOD = (200, 30), (600, 60)
#: Connections that Meta holds open to us.
CONNECTIONS = 64
#: Seconds an answer may take; then, as Meta does, the request is made again.
PATIENCE = 20.0
#: Messages of one person.
TALK = 8
SECRET = "bench-secret"

Say = Callable[[str], None]
#: Requests a second, for so many seconds.
Rate = tuple[int, int]

_KEPT = """
    select count(distinct payload ->> 'external_id') from job
    where queue = 'incoming-messages' and payload ->> 'external_id' like %s
"""
_ANSWERED = "select count(*) from message where role = 'assistant' and status = 'SENT'"


@dataclass
class Load:
    """Of one rate: milliseconds of each answer, and what was sent again because it was not answered by 200."""

    rate: int
    seconds: int
    times: list[float] = field(default_factory=list)
    again: int = 0
    kept: int = 0
    took: float = 0.0
    answered: int = 0

    @property
    def sent(self) -> int:
        """Different messages."""
        return self.rate * self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share was answered."""
        return statistics.quantiles(self.times, n=1000)[round(share * 1000) - 1]


@dataclass
class FrontDoor:
    """Both loads."""

    ordinary: Load
    flood: Load

    @property
    def kept_all(self) -> bool:
        """Whether each message that was answered by 200 is in PostgreSQL, once."""
        return all(load.kept == load.sent for load in (self.ordinary, self.flood))


def measure(
    lab: Lab, say: Say, ordinary: tuple[int, int] = ORDINARY, flood: tuple[int, int] = FLOOD, processes: int = 2
) -> FrontDoor:
    """Starts web processes beside the laboratory's workers and loads them."""
    port = free_port(0)
    settings = {"PORT": str(port), "WEB_PROCESSES": str(processes), "WHATSAPP_APP_SECRET": SECRET, "WEB_HOST": "127.0.0.1"}
    with ExitStack() as stack:
        web = ProcessManager(ROOT / "Procfile", env={**lab.environment, **settings}, cwd=ROOT, names=["web"])
        stack.callback(web.stop)
        web.start()
        _wait_for(port)
        numbers = [row["phone_number_id"] for row in db.rows("select phone_number_id from whatsapp_cloud_account order by id")]
        asyncio.run(_load(Load(50, 3), "warm", port, numbers))
        return FrontDoor(
            *(_measured(rate, name, port, numbers, say) for name, rate in (("ordinary", ordinary), ("flood", flood)))
        )


def _measured(rate: Rate, name: str, port: int, numbers: list[str], say: Say) -> Load:
    load, before = Load(*rate), int(db.scalar(_ANSWERED))
    asyncio.run(_load(load, name, port, numbers))
    load.kept = int(db.scalar(_KEPT, [f"{name}-%"]))
    load.answered = int(db.scalar(_ANSWERED)) - before
    say(f"  {rate[0]}/s for {rate[1]} s: {load.kept} of {load.sent} kept, {load.answered} answered meanwhile")
    return load


async def _load(load: Load, name: str, port: int, numbers: list[str]) -> None:
    requests_ = [_request(name, number, numbers) for number in range(load.sent)]
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(_Connection(port))
    begun = time.perf_counter()
    tasks = []
    for number, request in enumerate(requests_):
        due = begun + number / load.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(load, free, request, due)))
    await asyncio.gather(*tasks)
    load.took = time.perf_counter() - begun
    while not free.empty():
        free.get_nowait().close()


def _request(name: str, number: int, numbers: list[str]) -> bytes:
    talk = number // TALK
    told = meta_webhook(numbers[talk % len(numbers)], f"49{talk:09d}", "Rui", "When do you ship?", f"{name}-{number}")
    body = json.dumps(told).encode()
    headers = {"Host": "bench", "Content-Type": "application/json", "Content-Length": str(len(body)), **signed(body, SECRET)}
    head = "".join(f"{header}: {value}\r\n" for header, value in headers.items())
    return f"POST /webhooks/whatsapp/cloud HTTP/1.1\r\n{head}\r\n".encode() + body


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


def lines(result: FrontDoor) -> list[tuple[str, str, str]]:
    """What to print: name, ordinary load, flood."""
    loads = (result.ordinary, result.flood)
    rows = {
        "answered within, ms (p50)": [f"{load.quantile(0.5):.1f}" for load in loads],
        "answered within, ms (p99)": [f"{load.quantile(0.99):.1f}" for load in loads],
        "messages sent, and kept": [f"{load.sent}, {load.kept}" for load in loads],
        "sent again (no 200)": [str(load.again) for load in loads],
        "replies SENT meanwhile": [str(load.answered) for load in loads],
        "took, s": [f"{load.took:.1f}" for load in loads],
    }
    return [(name, first, second) for name, (first, second) in rows.items()]
