"""Ours and the peer's in turns, on the same servers and the same mock; medians, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local.bench import modes, peer
from scripts.local.bench.idle import JOBS, idle
from scripts.local.bench.isolation import isolation
from scripts.local.bench.modes import Run
from scripts.local.bench.priority import AI_MS, priority
from scripts.local.bench.progress import progress
from scripts.local.bench.rig import Rig
from scripts.local.bench.steady import steady

Say = Callable[[str], None]
#: A value, and whether less is better.
Bar = tuple[float, bool]
#: Seconds between the messages of the latency mode.
EVERY = 0.1
#: Calls in flight of ai-concurrency.
IN_FLIGHT = 500


@dataclass(frozen=True)
class Mode:
    """A mode: how many messages, our run, the peer's if it has one, and the bars.

    `bars` are ratios to the peer, `limits` our own figures: {figure: (value, whether less is better)}.
    """

    messages: int
    ours: Callable[[Rig, int], Run]
    theirs: Callable[[Path, int], Run] | None = None
    bars: dict[str, Bar] = field(default_factory=dict)
    limits: dict[str, Bar] = field(default_factory=dict)


MODES = {
    "throughput": Mode(
        5_000,
        lambda place, n: modes.throughput(place, n, 200),
        lambda path, n: peer.throughput(path, n, 200),
        {"messages/s": (0.60, False), "worker CPU ms": (2.5, True)},
    ),
    "latency": Mode(
        200,
        lambda place, n: modes.latency(place, n, EVERY),
        lambda path, n: peer.latency(path, n, EVERY),
        {"p50 ms": (1.5, True), "p95 ms": (1.5, True)},
    ),
    "ai-concurrency": Mode(
        8_000,
        lambda place, n: modes.ai_concurrency(place, n, IN_FLIGHT),
        lambda path, n: peer.ai_concurrency(path, n, IN_FLIGHT),
        {"messages/s": (0.60, False)},
    ),
    "isolation": Mode(1_000, isolation, limits={"p99 ms": (1_000, True)}),
    "priority": Mode(
        10_000,
        priority,
        limits={"premium waits, p99 ms": (1_000 + AI_MS, True), "basic beside full premium, %": (1, False)},
    ),
    "steady": Mode(3_000, steady),
    "idle": Mode(
        JOBS,
        idle,
        limits={
            "CPU of the busiest, %": (1, True),
            "Redis commands/s, busiest": (5, True),
            "start after due, p99 ms": (50, True),
        },
    ),
}


@dataclass(frozen=True)
class Figure:
    """One line of the table; `theirs` and `ratio` where there is a peer, `bar` where something was promised."""

    mode: str
    name: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool = True


def compare(names: list[str], pairs: int, messages: int | None, place: Rig, say: Say) -> list[Figure]:
    """Runs each mode `pairs` times, ours and theirs in turns; a mode that the peer does not have once."""
    if place.peer is not None:
        peer.seed(place.peer)
    return [line for name in names for line in _mode(name, MODES[name], pairs, messages, place, say)]


def _mode(name: str, mode: Mode, pairs: int, messages: int | None, place: Rig, say: Say) -> list[Figure]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    count, runs = messages or mode.messages, pairs if mode.theirs else 1
    for number in range(runs):
        progress.begin(f"{name} {number + 1}/{runs}, ours")
        ours.append(mode.ours(place, count))
        progress.end()
        say(f"{name} {number + 1}/{runs}, ours: {modes.told(ours[-1])}")
        if place.peer is not None and mode.theirs is not None:
            progress.begin(f"{name} {number + 1}/{runs}, peer")
            theirs.append(mode.theirs(place.peer, count))
            _keep(name, theirs[-1], place)
            progress.end()
            say(f"{name} {number + 1}/{runs}, peer: {modes.told(theirs[-1])}")
    return [_figure(name, figure, mode, ours, theirs) for figure in ours[0]]


def _keep(name: str, run: Run, place: Rig) -> None:
    """What a picture shows of the peer."""
    if name == "latency":
        marks = {0.0: "min ms", 0.5: "p50 ms", 0.95: "p95 ms", 0.99: "p99 ms", 1.0: "max ms"}
        place.samples.peer_quantiles = {share: run[figure] for share, figure in marks.items()}
    else:
        place.samples.peer_rates[name] = run["messages/s"]


def _figure(name: str, figure: str, mode: Mode, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> Figure:
    mine = statistics.median(run[figure] for run in ours)
    if figure in mode.limits:
        return Figure(name, figure, mine, bar=_words(mode.limits[figure]), met=_within(mine, mode.limits[figure]))
    if not theirs or figure not in theirs[0]:
        return Figure(name, figure, mine)
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(one[figure] / other[figure] if other[figure] else 0.0 for one, other in pairs)
    peers = statistics.median(run[figure] for run in theirs)
    if figure not in mode.bars:
        return Figure(name, figure, mine, peers, ratio)
    return Figure(name, figure, mine, peers, ratio, f"{_words(mode.bars[figure])} ×", _within(ratio, mode.bars[figure]))


def _words(bar: Bar) -> str:
    value, less = bar
    return f"{'≤' if less else '≥'} {value:g}"


def _within(value: float, bar: Bar) -> bool:
    limit, less = bar
    return value <= limit if less else value >= limit
