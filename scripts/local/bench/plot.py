"""Plots the runs: the distribution of latencies, each stage's throughput over time. Needs matplotlib (extra `plot`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from shared.queues import Queue

#: Modes that can be plotted.
PLOTTED = frozenset({"throughput", "latency", "ai-concurrency"})
#: Colours that are distinguishable with any kind of colour vision (Okabe and Ito).
OURS, PEER = "#0072B2", "#D55E00"
#: Seconds of one data point of a stage's line.
BIN = 0.5
_INSTALL = '--plot needs matplotlib; run .venv/bin/pip install "matplotlib>=3.10,<4" or install the extra `plot` of setup.cfg.'


@dataclass
class Samples:
    """Of each mode's last run: sorted latencies in ms, the peer's quantiles {share: ms}, and for each stage the seconds from
    the start at which it closed a job.
    """

    latencies: list[float] = field(default_factory=list)
    peer_quantiles: dict[float, float] = field(default_factory=dict)
    stages: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    peer_rates: dict[str, float] = field(default_factory=dict)


def require(modes: Sequence[str]) -> None:
    """Raises RuntimeError, before anything is measured, if there is nothing to plot or matplotlib is missing."""
    if not PLOTTED & set(modes):
        raise RuntimeError(f"--plot needs one of the modes {', '.join(sorted(PLOTTED))} or all, got {', '.join(modes)}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RuntimeError(_INSTALL) from None


def draw(samples: Samples, path: Path) -> None:
    """Writes a PNG: a column for the latencies, one for each mode with stages."""
    from matplotlib.figure import Figure

    stages = [queue.value for queue in Queue if any(queue in by_stage for by_stage in samples.stages.values())]
    columns = len(samples.stages) + bool(samples.latencies)
    figure = Figure(figsize=(5.2 * columns, 6.4), layout="constrained", dpi=140)
    parts = list(figure.subfigures(1, columns, squeeze=False)[0])
    if samples.latencies:
        _latency(parts.pop(0), samples)
    for (mode, by_stage), part in zip(samples.stages.items(), parts, strict=True):
        _stages(part, mode, stages, by_stage, samples.peer_rates.get(mode))
    figure.savefig(path)


def _latency(part: Any, samples: Samples) -> None:
    part.suptitle("latency: from the call to the arrival at Meta", fontsize=10)
    axes = part.subplots()
    count = len(samples.latencies)
    axes.step(samples.latencies, [(n + 1) / count for n in range(count)], where="post", color=OURS, label="ours")
    if samples.peer_quantiles:
        shares, times = samples.peer_quantiles.keys(), samples.peer_quantiles.values()
        axes.plot(list(times), list(shares), "o:", color=PEER, markersize=4, label="peer (min, p50, p95, p99, max)")
    axes.set(xlabel="ms", ylabel="share of messages", ylim=(0, 1.02))
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _declutter(axes)


def _stages(part: Any, mode: str, stages: Sequence[str], by_stage: Mapping[str, list[float]], peer: float | None) -> None:
    part.suptitle(f"{mode}: jobs closed a second, by stage", fontsize=10)
    shown = [stage for stage in stages if stage in by_stage]
    rows = part.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)
    for axes, stage in zip(rows[:, 0], shown, strict=True):
        times, rates = _rates(by_stage[stage])
        axes.fill_between(times, rates, color=OURS, alpha=0.25, linewidth=0)
        axes.plot(times, rates, color=OURS, linewidth=1)
        axes.set_title(stage, fontsize=8, loc="left", pad=2)
        axes.set_ylim(bottom=0)
        if peer is not None:
            axes.axhline(peer, color=PEER, linestyle=":", linewidth=1)
        _declutter(axes)
    if peer is not None:
        where = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        rows[0, 0].annotate("peer, messages/s", (1, peer), fontsize=7, color=PEER, **where)
    rows[-1, 0].set_xlabel("s")


def _rates(closed: list[float]) -> tuple[list[float], list[float]]:
    """The middle of each bin, and its jobs a second."""
    counts = Counter(int(at / BIN) for at in closed)
    last = max(counts, default=0)
    starts = [0.0, *accumulate([BIN] * last)]
    return [start + BIN / 2 for start in starts], [counts[n] / BIN for n in range(last + 1)]


def _declutter(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", alpha=0.2)
