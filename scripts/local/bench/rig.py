"""Where a benchmark runs: servers, outside world and our workers. With a peer, on the peer's own servers."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg2
import redis

from scripts.commands.migrate import migrate_and_fill
from scripts.local.bench.load import seed_tenants
from scripts.local.bench.plot import Samples
from scripts.local.embedded import Services
from scripts.local.environment import local_settings
from scripts.local.folders import ROOT, private_folder
from scripts.local.front_door import wait_for_answer
from scripts.local.leftovers import empty_folder
from scripts.local.ports import free_port
from scripts.local.processes import ProcessManager, into_file
from scripts.local.programs import ServiceFailed
from scripts.local.simulator.client import Simulator, settings_for
from shared import config, db, queues
from shared.broker import redis_broker

#: Process types of a run: the stages and maintenance, as in the peer's process.
STAGES = [*queues.MESSAGE_PROCESSES, "maintenance"]
#: All of them in one process, and the clock.
SMALL = ["worker"]
#: Addresses of the servers that the peer's up.sh starts.
PEER_POSTGRES = "postgresql://postgres@127.0.0.1:5544/switchboard_bench"
PEER_REDIS = "redis://127.0.0.1:6390/1"
PEER_MOCK = "http://127.0.0.1:8090"
SLOW_PORT = 8094
#: Seconds for processes to boot.
BOOT_TIMEOUT = 60.0


@dataclass
class World:
    """An outside world: the settings that lead to it, its processes, and the arrival times of sends ({recipient: ns})."""

    environment: dict[str, str]
    pids: list[int]
    arrivals: Callable[[], dict[str, int]] = dict


@dataclass
class Rig:
    """Running servers, a migrated and seeded database, and this process connected to both."""

    environment: dict[str, str]
    data: Path
    peer: Path | None
    #: PostgreSQL's log; None on the peer's servers.
    log: Path | None = None
    #: Rows that the modes with a full database add to it.
    old_messages: int = 0
    old_jobs: int = 0
    client: redis.Redis = field(init=False)
    samples: Samples = field(default_factory=Samples)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.environment["REDIS_URL"])

    @contextmanager
    def workers(self, world: World, threads: Mapping[str, str], names: Sequence[str] = STAGES) -> Iterator[list[int]]:
        """Our processes, ready and connected, for the length of the block; yields their pids."""
        before = self._consumers()
        with self._running(names, {**world.environment, **threads}) as manager:
            self._until_ready(before + len([name for name in names if name != "scheduler"]))
            yield [pid for name in names for pid in manager.pids(name)]

    @contextmanager
    def web(self, settings: Mapping[str, str]) -> Iterator[Web]:
        """A front door of one process, unless the settings say otherwise, that answers, for the length of the block."""
        port = free_port()
        own = {"PORT": str(port), "WEB_HOST": "127.0.0.1", "WEB_PROCESSES": "1", **settings}
        with self._running(["web"], own) as manager:
            web = Web(port, lambda: manager.pids("web"))
            wait_for_answer(f"{web.url}/healthz", BOOT_TIMEOUT)
            yield web

    @contextmanager
    def _running(self, names: Sequence[str], settings: Mapping[str, str]) -> Iterator[ProcessManager]:
        environment = {**os.environ, **self.environment, **settings}
        manager = ProcessManager(ROOT / "Procfile", environment, ROOT, list(names), into_file(self.data / "workers.log"))
        manager.start()
        try:
            yield manager
        finally:
            manager.stop()

    def _consumers(self) -> int:
        """How many processes consume: each has a heartbeat in Redis."""
        return int(self.client.zcard("dramatiq:__heartbeats__"))

    def _until_ready(self, wanted: int) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        while (ready := self._consumers()) < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"Only {ready} of {wanted} processes were ready after {BOOT_TIMEOUT:.0f} s; workers.log says why."
                )
            time.sleep(0.05)

    def empty(self) -> None:
        """Deletes what earlier runs left in both stores; there are twenty tenants and nothing else."""
        db.rows("truncate customer, job, webhook_event, parked_status cascade")
        seed_tenants()
        settle()
        self.client.flushdb()


@dataclass(frozen=True)
class Web:
    """A front door; `pids` are those of its processes."""

    port: int
    pids: Callable[[], list[int]]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def settle() -> None:
    """Leaves PostgreSQL nothing to do that belongs to what was before."""
    with db.connection() as database:
        database.execute_sql("vacuum analyze")
        database.execute_sql("checkpoint")


@contextmanager
def open_rig(peer: Path | None, data: Path, old_messages: int = 0, old_jobs: int = 0) -> Iterator[Rig]:
    """On the peer's servers if there is a peer, otherwise on embedded ones of our own."""
    empty_folder(data)
    private_folder(data)
    with ExitStack() as stack:
        if peer is None:
            services = Services(data)
            services.start()
            stack.callback(services.stop)
            environment, log = services.environment(), services.postgres_log
        else:
            _start_servers(peer)
            _create_database(PEER_POSTGRES)
            environment, log = {"DATABASE_URL": PEER_POSTGRES, "REDIS_URL": PEER_REDIS, **local_settings(data)}, None
        # A load is no conversation between people: how many messages one has depends on --messages.
        environment["CONVERSATION_REPLY_LIMIT"] = ""
        os.environ.update(environment)
        for module in (config, db, redis_broker):
            module.reset()
        stack.callback(db.reset)
        migrate_and_fill(environment["DATABASE_URL"])
        rig = Rig({**environment, "LOG_LEVEL": "WARNING"}, data, peer, log, old_messages, old_jobs)
        rig.empty()
        yield rig


def _start_servers(peer: Path) -> None:
    done = subprocess.run(["sh", "up.sh"], cwd=peer, capture_output=True, text=True)
    if done.returncode:
        raise ServiceFailed(f"the peer's up.sh failed:\n{(done.stderr or done.stdout)[-2000:]}")


def _create_database(url: str) -> None:
    """Replaces an existing one, so that no earlier schema is measured."""
    parts = urlsplit(url)
    connection = psycopg2.connect(urlunsplit(parts._replace(path="/postgres")))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'drop database if exists "{parts.path[1:]}" with (force)')
        cursor.execute(f'create database "{parts.path[1:]}"')
    connection.close()


@contextmanager
def instant(rig: Rig) -> Iterator[World]:
    """A world that answers immediately: the peer's nginx, or the simulator."""
    if rig.peer is not None:
        yield World(settings_for(PEER_MOCK), [pid for pid in psutil.pids() if _runs(pid, "nginx")])
        return
    with slow(rig, 0) as world:
        yield world


@contextmanager
def slow(rig: Rig, ai_ms: int) -> Iterator[World]:
    """A world whose AI takes `ai_ms` and that records when sends arrive."""
    if rig.peer is None:
        with Simulator.start(seed=1) as simulator:
            simulator.faults([{"kind": "ai", "fault": "latency", "ms": ai_ms}] if ai_ms else [])
            yield World(simulator.environment(), [simulator.pid], lambda: simulated_arrivals(simulator))
        return
    environment = {**os.environ, "PORT": str(SLOW_PORT), "LATENCY_MS": str(ai_ms), "RECORD": "1"}
    mock = subprocess.Popen(["node", "mock/slow.js"], cwd=rig.peer, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert mock.stdout is not None
        mock.stdout.readline()
        yield World(settings_for(f"http://127.0.0.1:{SLOW_PORT}"), [mock.pid], _mock_arrivals)
    finally:
        mock.terminate()
        mock.wait()


def _mock_arrivals() -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{SLOW_PORT}/__log", timeout=30) as answer:
        return {to: int(at) for to, at in json.load(answer)["log"]}


def simulated_arrivals(simulator: Simulator) -> dict[str, int]:
    """When sends arrived at the simulator: {recipient: monotonic ns}. It records wall-clock times."""
    offset = time.monotonic_ns() - time.time_ns()
    return {row["key"]: row["at_ns"] + offset for row in simulator.record("graph")}


def _runs(pid: int, program: str) -> bool:
    try:
        return psutil.Process(pid).name() == program
    except psutil.NoSuchProcess:
        return False
