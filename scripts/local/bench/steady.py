"""Steady: what each process type takes at 10 and at 100 messages a second, with an AI that takes a second."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from scripts.local.bench import load
from scripts.local.bench.cost import cost, cpu, memory_mb
from scripts.local.bench.modes import Run, percentiles, watched
from scripts.local.bench.rig import Rig, slow

#: Messages a second, and the settings that the README advises for them; the last load gets all the messages, the others as
#: many as come in the same time.
LOADS: tuple[tuple[int, dict[str, str]], ...] = ((10, {}), (100, {"AI_THREADS": "150"}))
#: What one call of the AI takes.
AI_MS = 1_000
WARM_UP = 20


def steady(place: Rig, messages: int) -> Run:
    """Percent of a core and MB of each process type, and how long after its AI call a reply leaves."""
    seconds = messages / LOADS[-1][0]
    found: Run = {}
    for rate, threads in LOADS:
        found |= {f"{rate}/s: {name}": value for name, value in _at(rate, max(2, round(rate * seconds)), threads, place).items()}
    return found


def _at(rate: int, messages: int, threads: dict[str, str], place: Rig) -> Run:
    place.empty()
    with slow(place, AI_MS) as world, place.workers(world, threads) as pids:
        load.send_paced("warm-up", WARM_UP, 1 / rate)
        load.until_sent(WARM_UP)
        types = _by_type(pids)
        before, used, begun = cost(pids, world.pids, place.client), _cpu(types), time.monotonic()
        with watched() as seen:
            sent = load.send_paced("load", messages, 1 / rate)
            seconds = time.monotonic() - begun
            load.until_sent(messages + WARM_UP)
        spent, now = cost(pids, world.pids, place.client).since(before), _cpu(types)
        load.check(messages + WARM_UP)
        late = sorted((at - sent[who]) / 1e6 - AI_MS for who, at in world.arrivals().items() if who in sent)
        taken: Run = {}
        for name, theirs in types.items():
            taken |= {f"{name}, CPU %": 100 * (now[name] - used[name]) / seconds, f"{name}, MB": memory_mb(theirs)}
    return {
        **taken,
        "PostgreSQL, CPU %": 100 * spent.postgres / seconds,
        "all, CPU %": 100 * (spent.worker + spent.postgres + spent.redis) / seconds,
        "sent after the AI's second, p95 ms": percentiles(late)["p95 ms"],
        **seen.most(),
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
