"""Ours and the peer's in turns, on the same servers and the same mock; medians, and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.local.bench import modes, peer
from scripts.local.bench.modes import Run
from scripts.local.bench.rig import Rig, rig

Say = Callable[[str], None]
#: Seconds between the messages of the latency mode.
EVERY = 0.1
#: Calls in flight of ai-concurrency.
IN_FLIGHT = 500


@dataclass(frozen=True)
class Mode:
    """A mode: how many messages, our run, the peer's, and the bars: {figure: (ratio to the peer, whether less is better)}."""

    messages: int
    ours: Callable[[Rig, int], Run]
    theirs: Callable[[Path, int], Run]
    bars: dict[str, tuple[float, bool]]


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
}


@dataclass(frozen=True)
class Figure:
    """One line of the table; `theirs`, `ratio` and `bar` where there is a peer."""

    mode: str
    name: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool = True


def compare(names: list[str], pairs: int, messages: int | None, path: Path | None, data: Path, say: Say) -> list[Figure]:
    """Runs each mode `pairs` times, ours and theirs in turns."""
    with rig(path, data) as place:
        if path is not None:
            peer.seed(path)
        return [line for name in names for line in _mode(name, MODES[name], pairs, messages, place, say)]


def _mode(name: str, mode: Mode, pairs: int, messages: int | None, place: Rig, say: Say) -> list[Figure]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    count = messages or mode.messages
    for number in range(pairs):
        ours.append(mode.ours(place, count))
        say(f"{name} {number + 1}/{pairs}, ours: {modes.rounded(ours[-1])}")
        if place.peer is not None:
            theirs.append(mode.theirs(place.peer, count))
            say(f"{name} {number + 1}/{pairs}, peer: {modes.rounded(theirs[-1])}")
    return [_figure(name, figure, mode, ours, theirs) for figure in ours[0]]


def _figure(name: str, figure: str, mode: Mode, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> Figure:
    mine = statistics.median(run[figure] for run in ours)
    if not theirs or figure not in theirs[0]:
        return Figure(name, figure, mine)
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(one[figure] / other[figure] if other[figure] else 0.0 for one, other in pairs)
    peers = statistics.median(run[figure] for run in theirs)
    bar, less = mode.bars.get(figure, (0.0, False))
    if not bar:
        return Figure(name, figure, mine, peers, ratio)
    return Figure(name, figure, mine, peers, ratio, f"{'≤' if less else '≥'} {bar}", ratio <= bar if less else ratio >= bar)
