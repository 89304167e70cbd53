"""Steady: what each process type uses at 10 and at 100 messages a second, with an AI that takes a second."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from scripts.local.bench import load
from scripts.local.bench.cost import cost, cpu, memory_mb
from scripts.local.bench.modes import Run, percentiles, watch_connections
from scripts.local.bench.rig import Rig, slow

#: Messages a second, and the settings that scripts/README.md advises for them. The last load sends all the messages, the others
#: as many as fit into the same time.
LOADS: tuple[tuple[int, dict[str, str]], ...] = ((10, {}), (100, {"AI_THREADS": "150"}))
#: Duration of an AI call (ms).
AI_MS = 1_000
WARM_UP = 20


def steady(rig: Rig, messages: int) -> Run:
    """Percent of a core and MB of each process type, and how long after its AI call a reply is sent."""
    seconds = messages / LOADS[-1][0]
    figures: Run = {}
    for rate, threads in LOADS:
        figures |= {f"{rate}/s: {name}": value for name, value in _at(rate, max(2, round(rate * seconds)), threads, rig).items()}
    return figures


def _at(rate: int, messages: int, threads: dict[str, str], rig: Rig) -> Run:
    rig.empty()
    with slow(rig, AI_MS) as world, rig.workers(world, threads) as pids:
        load.send_paced("warm-up", WARM_UP, 1 / rate)
        load.until_sent(WARM_UP)
        types = _by_type(pids)
        before, cpu_before, begun = cost(pids, world.pids, rig.client), _cpu(types), time.monotonic()
        with watch_connections() as connections:
            sent = load.send_paced("load", messages, 1 / rate)
            seconds = time.monotonic() - begun
            load.until_sent(messages + WARM_UP)
        spent, cpu_after = cost(pids, world.pids, rig.client).since(before), _cpu(types)
        load.check(messages + WARM_UP)
        delays = sorted((at - sent[sender]) / 1e6 - AI_MS for sender, at in world.arrivals().items() if sender in sent)
        by_type: Run = {}
        for name, its_pids in types.items():
            cpu_percent = 100 * (cpu_after[name] - cpu_before[name]) / seconds
            by_type |= {f"{name}, CPU %": cpu_percent, f"{name}, MB": memory_mb(its_pids)}
    return {
        **by_type,
        "PostgreSQL, CPU %": 100 * spent.postgres / seconds,
        "all, CPU %": 100 * (spent.worker + spent.postgres + spent.redis) / seconds,
        "sent after the AI's second, p95 ms": percentiles(delays)["p95 ms"],
        **connections.peak(),
    }


def _by_type(pids: Iterable[int]) -> dict[str, list[int]]:
    """The worker processes of each module."""
    types: dict[str, list[int]] = {}
    for pid in pids:
        words = psutil.Process(pid).cmdline()
        types.setdefault(next(word.removeprefix("workers.") for word in words if word.startswith("workers.")), []).append(pid)
    return types


def _cpu(types: dict[str, list[int]]) -> dict[str, float]:
    return {name: sum(cpu(pid) for pid in pids) for name, pids in types.items()}
