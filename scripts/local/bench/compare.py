"""Runs ours and the peer's in turns, on the same servers and the same mock; reports medians and the ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scripts.local.bench import attacks, modes, peer
from scripts.local.bench.flood import flood
from scripts.local.bench.front_door import front_door
from scripts.local.bench.idle import JOBS, idle
from scripts.local.bench.isolation import isolation
from scripts.local.bench.modes import Run
from scripts.local.bench.priority import AI_MS, priority
from scripts.local.bench.progress import progress
from scripts.local.bench.provider_call import OURS, provider_call
from scripts.local.bench.recovery import recovery
from scripts.local.bench.replies import replies
from scripts.local.bench.rig import Rig
from scripts.local.bench.scale import scale
from scripts.local.bench.steady import steady
from scripts.local.bench.streams import streams

Say = Callable[[str], None]
#: A value, and whether lower is better.
Bar = tuple[float, bool]
#: Seconds between the messages of the latency mode.
INTERVAL = 0.1
#: AI calls in flight in ai-concurrency.
IN_FLIGHT = 500


@dataclass(frozen=True)
class Mode:
    """A mode: what it measures, how many messages, our run, the peer's if it has one, and what is required.

    `bars` bound ratios to the peer, `limits` our own figures: {figure: (value, whether lower is better)}. One that `is_alone`
    runs only by its name.
    """

    about: str
    messages: int
    ours: Callable[[Rig, int], Run]
    theirs: Callable[[Path, int], Run] | None = None
    bars: dict[str, Bar] = field(default_factory=dict)
    limits: dict[str, Bar] = field(default_factory=dict)
    is_alone: bool = False


MODES = {
    "throughput": Mode(
        "messages a second from a backlog",
        5_000,
        lambda rig, n: modes.throughput(rig, n, 200),
        lambda path, n: peer.throughput(path, n, 200),
        {"messages/s": (0.60, False), "worker CPU ms": (2.5, True)},
    ),
    "latency": Mode(
        "how long a message takes in an idle system",
        200,
        lambda rig, n: modes.latency(rig, n, INTERVAL),
        lambda path, n: peer.latency(path, n, INTERVAL),
        {"p50 ms": (1.5, True), "p95 ms": (1.5, True)},
    ),
    "ai-concurrency": Mode(
        "messages a second with 500 calls of the AI in flight",
        8_000,
        lambda rig, n: modes.ai_concurrency(rig, n, IN_FLIGHT),
        lambda path, n: peer.ai_concurrency(path, n, IN_FLIGHT),
        {"messages/s": (0.60, False)},
    ),
    "worker": Mode(
        "one process for all stages",
        5_000,
        lambda rig, n: modes.worker(rig, n, 200, INTERVAL),
        lambda path, n: peer.worker(path, n, 200, INTERVAL),
        {"messages/s": (0.85, False), "memory MB": (1.15, True), "p50 ms": (1.2, True)},
    ),
    "isolation": Mode(
        "webhook latency while a tenth of the endpoints hang",
        1_000,
        lambda rig, n: isolation(rig, n) | attacks.attacks(rig),
        limits={"p99 ms": (1_000, True), **{f"{name}, p99 ms": (1_000, True) for name in attacks.NAMES}},
    ),
    "priority": Mode(
        "how long premium jobs wait behind 10,000 basic ones",
        10_000,
        priority,
        limits={"premium waits, p99 ms": (1_000 + AI_MS, True), "basic beside full premium, %": (1, False)},
    ),
    "flood": Mode(
        "how long a customer waits behind another one's 6,000 messages",
        6_000,
        flood,
        limits={"waits, p50 ratio": (2, True), "waits, p95 ratio": (2, True)},
    ),
    "steady": Mode("CPU and memory of each process type at 10 and 100 messages a second", 3_000, steady),
    "idle": Mode(
        "cost of an idle system, punctuality of delayed jobs",
        JOBS,
        idle,
        limits={
            "CPU of the busiest, %": (1, True),
            "Redis commands/s, busiest": (5, True),
            "start after due, p99 ms": (50, True),
        },
    ),
    "recovery": Mode(
        "webhook latency while 100,000 events of one customer are delivered again",
        100_000,
        recovery,
        limits={"beside, p99 ms": (1_000, True), "beside, the recovered customer's, p99 ms": (1_000, True)},
        is_alone=True,
    ),
    "scale": Mode(
        "time per message on an empty and on a full database",
        2_000,
        scale,
        limits={"ratio": (1.3, True), "of these of housekeeping": (0, True)},
        is_alone=True,
    ),
    "streams": Mode(
        "cost of open widget pages, 10,000 of them",
        10_000,
        streams,
        limits={"memory of a page, KiB": (20, True), "a hook beside slow bodies, p99 ms": (100, True)},
        is_alone=True,
    ),
    "replies": Mode(
        "how soon a page sees a streamed reply, and its cost",
        200,
        replies,
        limits={"from the provider's first word to the page, p99 ms": (50, True)},
        is_alone=True,
    ),
    "front-door": Mode("the inbound hook at 200 and 600 requests a second", 6_000, front_door, is_alone=True),
    "provider-call": Mode(
        "CPU of a call to the AI, by our transport and by the openai client's own",
        320,
        provider_call,
        limits={f"{OURS}, ms": (1, True)},
        is_alone=True,
    ),
}


@dataclass(frozen=True)
class Figure:
    """One row of the table; `theirs` and `ratio` where there is a peer, `bar` where something is required."""

    mode: str
    name: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool = True


def compare(names: list[str], pairs: int, messages: int | None, rig: Rig, say: Say) -> list[Figure]:
    """Runs each mode `pairs` times, ours and the peer's in turns; a mode that the peer does not have runs once."""
    if rig.peer is not None:
        peer.seed(rig.peer)
    return [figure for name in names for figure in _run_mode(name, MODES[name], pairs, messages, rig, say)]


def _run_mode(name: str, mode: Mode, pairs: int, messages: int | None, rig: Rig, say: Say) -> list[Figure]:
    ours: list[Run] = []
    theirs: list[Run] = []
    count, runs = messages or mode.messages, pairs if mode.theirs else 1
    for number in range(1, runs + 1):
        ours.append(_run_once(f"{name} {number}/{runs}, ours", partial(mode.ours, rig, count), say))
        if rig.peer is not None and mode.theirs is not None:
            theirs.append(_run_once(f"{name} {number}/{runs}, peer", partial(mode.theirs, rig.peer, count), say))
            _keep_peer_samples(name, theirs[-1], rig)
    assert mode.limits.keys() <= ours[0].keys(), name
    return [_figure(name, figure, mode, ours, theirs) for figure in ours[0]]


def _run_once(title: str, run: Callable[[], Run], say: Say) -> Run:
    progress.begin(title)
    figures = run()
    progress.end()
    say(f"{title}: {modes.format_figures(figures)}")
    return figures


def _keep_peer_samples(name: str, run: Run, rig: Rig) -> None:
    """What a plot shows of the peer."""
    if name == "latency":
        quantiles = {0.0: "min ms", 0.5: "p50 ms", 0.95: "p95 ms", 0.99: "p99 ms", 1.0: "max ms"}
        rig.samples.peer_quantiles = {share: run[figure] for share, figure in quantiles.items()}
    else:
        rig.samples.peer_rates[name] = run["messages/s"]


def _figure(name: str, figure: str, mode: Mode, ours: list[Run], theirs: list[Run]) -> Figure:
    our_median = statistics.median(run[figure] for run in ours)
    if figure in mode.limits:
        limit = mode.limits[figure]
        return Figure(name, figure, our_median, bar=_format_bar(limit), met=_is_met(our_median, limit))
    if not theirs or figure not in theirs[0]:
        return Figure(name, figure, our_median)
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(one[figure] / other[figure] if other[figure] else 0.0 for one, other in pairs)
    peer_median = statistics.median(run[figure] for run in theirs)
    if figure not in mode.bars:
        return Figure(name, figure, our_median, peer_median, ratio)
    bar = mode.bars[figure]
    return Figure(name, figure, our_median, peer_median, ratio, f"{_format_bar(bar)} ×", _is_met(ratio, bar))


def _format_bar(bar: Bar) -> str:
    value, lower_is_better = bar
    return f"{'≤' if lower_is_better else '≥'} {value:g}"


def _is_met(value: float, bar: Bar) -> bool:
    limit, lower_is_better = bar
    return value <= limit if lower_is_better else value >= limit
