"""Our runs of the modes that the peer has too: throughput, latency, ai-concurrency. Each checks its counts before it returns."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.cost import Cost, cost, memory_mb
from scripts.local.bench.rig import SMALL, STAGES, Rig, World, instant, slow
from shared import db

#: Messages before the clock starts: they open connections and prepare statements.
WARM_UP = 60

#: The result of one run: figures by name.
Run = dict[str, float]


def throughput(rig: Rig, messages: int, conversations: int, names: Sequence[str] = STAGES) -> Run:
    """Messages wait, workers are connected; measured from the enqueue to the last reply SENT."""
    with instant(rig) as world:
        return _drain("throughput", rig, world, messages, conversations, {}, names)


def worker(rig: Rig, messages: int, conversations: int, interval: float) -> Run:
    """Throughput, memory and latency of the one process that runs all stages, as the peer's does."""
    paced = latency(rig, max(20, messages // 25), interval, SMALL)
    return {**throughput(rig, messages, conversations, SMALL), **{name: paced[name] for name in ("p50 ms", "p95 ms")}}


def ai_concurrency(rig: Rig, messages: int, in_flight: int) -> Run:
    """The same with an AI that takes a second and this many calls in flight."""
    with slow(rig, 1_000) as world:
        run = _drain("ai-concurrency", rig, world, messages, max(in_flight * 4, 2_000), {"AI_THREADS": str(in_flight)})
        run["bound"] = float(in_flight)
        return run


def _drain(
    mode: str,
    rig: Rig,
    world: World,
    messages: int,
    conversations: int,
    threads: dict[str, str],
    names: Sequence[str] = STAGES,
) -> Run:
    rig.empty()
    with rig.workers(world, threads, names) as pids:
        _warm_up()
        enqueue_all = load.fill("load", messages, conversations)
        before, begun, clock = cost(pids, world.pids, rig.client), time.monotonic(), time.time()
        with watch_connections() as connections:
            enqueue_all()
            duration = load.until_sent(messages + WARM_UP) - begun
        spent = cost(pids, world.pids, rig.client).since(before)
        load.check(messages + WARM_UP)
        rig.samples.stages[mode] = {row["queue"]: row["closed"] for row in db.rows(_CLOSED, [clock, clock])}
        return {
            "messages/s": messages / duration,
            "memory MB": memory_mb(pids),
            **per_message(spent, messages),
            **connections.peak(),
        }


_CLOSED = """
    select queue, array_agg(extract(epoch from closed_at)::float8 - %s) as closed from job
    where closed_at > to_timestamp(%s) group by queue
"""


def _warm_up() -> None:
    load.fill("warm-up", WARM_UP, WARM_UP)()
    load.until_sent(WARM_UP)


def per_message(total: Cost, messages: int) -> dict[str, float]:
    """Milliseconds of CPU, commits and Redis commands of one message."""
    return {
        "worker CPU ms": total.worker * 1000 / messages,
        "Postgres CPU ms": total.postgres * 1000 / messages,
        "Redis CPU ms": total.redis * 1000 / messages,
        "mock CPU ms": total.mock * 1000 / messages,
        "commits": total.commits / messages,
        "Redis commands": total.redis_commands / messages,
    }


def latency(rig: Rig, messages: int, interval: float, names: Sequence[str] = STAGES) -> Run:
    """An idle system, a message every `interval` seconds from a new sender: from the call until the send arrives at Meta."""
    rig.empty()
    with slow(rig, 0) as world, rig.workers(world, {}, names) as pids:
        load.send_paced("warm-up", 20, interval)
        load.until_sent(20)
        before = cost(pids, world.pids, rig.client)
        sent = load.send_paced("load", messages, interval)
        load.until_sent(messages + 20)
        spent = cost(pids, world.pids, rig.client).since(before)
        load.check(messages + 20)
        arrivals = world.arrivals()
    latencies = sorted((arrivals[sender] - at) / 1e6 for sender, at in sent.items())
    rig.samples.latencies = latencies
    return {**percentiles(latencies), "min ms": latencies[0], "max ms": latencies[-1], **per_message(spent, messages)}


def percentiles(sorted_ms: list[float]) -> dict[str, float]:
    """p50, p95 and p99 of sorted milliseconds."""
    cuts = statistics.quantiles(sorted_ms, n=100, method="inclusive")
    return {"p50 ms": cuts[49], "p95 ms": cuts[94], "p99 ms": cuts[98]}


class _ConnectionWatch:
    """Counts the connections to PostgreSQL once a second."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._counts: list[int] = []

    def watch(self) -> None:
        """Counts until it is stopped, once at least."""
        while True:
            self._counts.append(int(db.scalar(_CONNECTIONS)))
            if self.stopped.wait(1.0):
                return

    def peak(self) -> dict[str, float]:
        """The most connections that were open at once."""
        return {"connections": float(max(self._counts, default=0))}


# Idle ones as well: they count against max_connections.
_CONNECTIONS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


@contextmanager
def watch_connections() -> Iterator[_ConnectionWatch]:
    """Counts the connections to PostgreSQL for the length of the block."""
    watch = _ConnectionWatch()
    thread = threading.Thread(target=watch.watch, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stopped.set()
        thread.join()


def format_figures(figures: dict[str, Any]) -> str:
    """One line for the terminal."""
    return ", ".join(
        f"{name}: {value:,.2f}" if isinstance(value, float) else f"{name}: {value}" for name, value in figures.items()
    )
