"""Charts as numbers: where the bars and lines of an SVG stand. The server draws, so a page needs no library for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

#: The drawing's own units; the page scales it.
WIDTH, HEIGHT = 960, 150


class Bar(NamedTuple):
    """A quarter of an hour: `failed` stands on top of `completed`."""

    x: float
    width: float
    completed_y: float
    completed_height: float
    failed_y: float
    failed_height: float
    row: dict[str, Any]


class Chart(NamedTuple):
    """A day: bars of what was done, a line of what was waited; `most` jobs and `longest` seconds are at its top."""

    bars: list[Bar]
    line: str
    most: int
    longest: float


def of_day(rows: Sequence[dict[str, Any]]) -> Chart:
    """The chart of overview.throughput."""
    most = max((row["completed"] + row["failed"] for row in rows), default=0)
    longest = max((row["mean_wait"] or 0.0 for row in rows), default=0.0)
    step = WIDTH / max(1, len(rows))
    bars, points = [], []
    for number, row in enumerate(rows):
        completed, failed = (HEIGHT * row[name] / most if most else 0.0 for name in ("completed", "failed"))
        bars.append(
            Bar(
                round(number * step + step * 0.12, 1),
                round(step * 0.76, 1),
                round(HEIGHT - completed, 1),
                round(completed, 1),
                round(HEIGHT - completed - failed, 1),
                round(failed, 1),
                row,
            )
        )
        if row["mean_wait"] is not None and longest:
            points.append(f"{number * step + step / 2:.1f},{HEIGHT - HEIGHT * row['mean_wait'] / longest:.1f}")
    return Chart(bars, " ".join(points), most, longest)


def spark(counts: Sequence[int], width: int = 96, height: int = 22) -> list[tuple[float, float, float, float]]:
    """Small bars: x, y, width and height of each."""
    most, step = max(counts, default=0) or 1, width / max(1, len(counts))
    heights = [max(1.0, round(height * count / most, 1)) if count else 0.0 for count in counts]
    return [(round(n * step, 1), round(height - bar, 1), round(step * 0.75, 1), bar) for n, bar in enumerate(heights)]
