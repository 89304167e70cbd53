"""Charts as numbers: where the bars and lines of an SVG stand. The server draws, so a page needs no library for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

#: The drawing's own units; the page scales it.
WIDTH, HEIGHT = 960, 150


class Bar(NamedTuple):
    """A row of two counts: the second stands on top of the first."""

    x: float
    width: float
    first_y: float
    first_height: float
    second_y: float
    second_height: float
    row: dict[str, Any]


def bars(rows: Sequence[dict[str, Any]], first: str, second: str) -> tuple[list[Bar], int]:
    """A bar for each row, by the names of its counts; and the most that one has, which reaches the top."""
    most = max((int(row[first] + row[second]) for row in rows), default=0)
    step = WIDTH / max(1, len(rows))
    drawn = []
    for number, row in enumerate(rows):
        lower, upper = (HEIGHT * int(row[name]) / (most or 1) for name in (first, second))
        drawn.append(
            Bar(
                x=round(number * step + step * 0.12, 1),
                width=round(step * 0.76, 1),
                first_y=round(HEIGHT - lower, 1),
                first_height=round(lower, 1),
                second_y=round(HEIGHT - lower - upper, 1),
                second_height=round(upper, 1),
                row=row,
            )
        )
    return drawn, most


def line(values: Sequence[float | None]) -> tuple[str, float]:
    """The points of a line through the values that there are; and the longest of them, which is at the top."""
    longest = max((value or 0.0 for value in values), default=0.0)
    step = WIDTH / max(1, len(values))
    points = (
        f"{number * step + step / 2:.1f},{HEIGHT - HEIGHT * value / longest:.1f}"
        for number, value in enumerate(values)
        if value is not None and longest
    )
    return " ".join(points), longest


def spark(counts: Sequence[int], width: int = 96, height: int = 22) -> list[tuple[float, float, float, float]]:
    """Small bars: x, y, width and height of each."""
    most, step = max(counts, default=0) or 1, width / max(1, len(counts))
    heights = [max(1.0, round(height * count / most, 1)) if count else 0.0 for count in counts]
    return [(round(n * step, 1), round(height - bar, 1), round(step * 0.75, 1), bar) for n, bar in enumerate(heights)]
