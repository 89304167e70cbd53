"""How often something may happen: "10/1s" is ten times in any second."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What a setting may say: up to 99,999 times in up to 9,999 seconds, minutes or hours; Redis keeps a line for each time.
PATTERN = re.compile(r"([1-9]\d{0,4})/([1-9]\d{0,3})([smh])")
WANTED = "want how often and in what time, like 10/1s, 600/1m or 5000/1h, or nothing for no limit"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Rate:
    """`most` times in any `window` seconds."""

    most: int
    window: int
    text: str

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Rate | None:
    """The rate that a setting says; None for no limit. Raises ValueError, which says the right form."""
    if not text:
        return None
    found = PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(WANTED)
    return Rate(int(found[1]), int(found[2]) * _SECONDS[found[3]], text)
