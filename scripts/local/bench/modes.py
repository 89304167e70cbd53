"""Our runs of the modes that the peer has too: throughput, latency, ai-concurrency. Each checks its counts before it returns."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scripts.local.bench import load
from scripts.local.bench.cost import Cost, cost, memory_mb
from scripts.local.bench.rig import Rig, World, instant, slow
from shared import db

#: Messages before the clock starts: connections, prepared statements, pools.
WARM_UP = 60


#: What one run gave: figures by name.
Run = dict[str, float]


def throughput(place: Rig, messages: int, conversations: int) -> Run:
    """A full queue, workers connected; from the start to the last reply SENT."""
    with instant(place) as world:
        return _drain("throughput", place, world, messages, conversations, {})


def ai_concurrency(place: Rig, messages: int, in_flight: int) -> Run:
    """The same with an AI that takes a second and that many calls at once."""
    with slow(place, 1_000) as world:
        run = _drain("ai-concurrency", place, world, messages, max(in_flight * 4, 2_000), {"AI_THREADS": str(in_flight)})
        run["bound"] = float(in_flight)
        return run


def _drain(mode: str, place: Rig, world: World, messages: int, conversations: int, threads: dict[str, str]) -> Run:
    place.empty()
    with place.workers(world, threads) as pids:
        _warm_up()
        go = load.fill("load", messages, conversations)
        before, begun, clock = cost(pids, world.pids, place.client), time.monotonic(), time.time()
        with watched() as seen:
            go()
            took = load.until_sent(messages + WARM_UP) - begun
        spent = cost(pids, world.pids, place.client).since(before)
        load.check(messages + WARM_UP)
        place.samples.stages[mode] = {row["queue"]: row["ended"] for row in db.rows(_ENDED, [clock, clock])}
        return {"messages/s": messages / took, "memory MB": memory_mb(pids), **per_message(spent, messages), **seen.most()}


_ENDED = """
    select queue, array_agg(extract(epoch from closed_at)::float8 - %s) as ended from job
    where closed_at > to_timestamp(%s) group by queue
"""


def _warm_up() -> None:
    load.fill("warm-up", WARM_UP, WARM_UP)()
    load.until_sent(WARM_UP)


def per_message(spent: Cost, messages: int) -> dict[str, float]:
    """Milliseconds of CPU, commits and commands for one message."""
    return {
        "worker CPU ms": spent.worker * 1000 / messages,
        "Postgres CPU ms": spent.postgres * 1000 / messages,
        "Redis CPU ms": spent.redis * 1000 / messages,
        "mock CPU ms": spent.mock * 1000 / messages,
        "commits": spent.commits / messages,
        "Redis commands": spent.redis_commands / messages,
    }


def latency(place: Rig, messages: int, every: float) -> Run:
    """An idle system, a message every `every` seconds from a new sender: from the call until the send arrives at Meta."""
    place.empty()
    with slow(place, 0) as world, place.workers(world, {}) as pids:
        load.send_paced("warm-up", 20, every)
        load.until_sent(20)
        before = cost(pids, world.pids, place.client)
        sent = load.send_paced("load", messages, every)
        load.until_sent(messages + 20)
        spent = cost(pids, world.pids, place.client).since(before)
        load.check(messages + 20)
        arrivals = world.arrivals()
    took = sorted((arrivals[who] - at) / 1e6 for who, at in sent.items())
    place.samples.latencies = took
    return {**percentiles(took), "min ms": took[0], "max ms": took[-1], **per_message(spent, messages)}


def percentiles(sorted_ms: list[float]) -> dict[str, float]:
    """p50, p95 and p99 of sorted milliseconds."""
    cuts = statistics.quantiles(sorted_ms, n=100, method="inclusive")
    return {"p50 ms": cuts[49], "p95 ms": cuts[94], "p99 ms": cuts[98]}


class _Watch:
    """Looks once a second at how many connections there are."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._connections: list[int] = []

    def look(self) -> None:
        """Until told that it is over."""
        while not self._over.wait(1.0):
            self._connections.append(int(db.scalar(_CONNECTIONS)))

    def end(self) -> None:
        """No more looks."""
        self._over.set()

    def most(self) -> dict[str, float]:
        """The most connections that were seen."""
        return {"connections": float(max(self._connections, default=0))}


# Idle ones count too: a server counts them all.
_CONNECTIONS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


@contextmanager
def watched() -> Iterator[_Watch]:
    """Watches the connections to PostgreSQL for the length of the block."""
    watch = _Watch()
    thread = threading.Thread(target=watch.look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def told(figures: dict[str, Any]) -> str:
    """For people."""
    return ", ".join(
        f"{name}: {value:,.2f}" if isinstance(value, float) else f"{name}: {value}" for name, value in figures.items()
    )
