"""Phone numbers as people write them, and as channels know them: digits alone, from the country's code on."""

from __future__ import annotations

import re

#: Fewest digits that are looked for, and fewest of a number without its country's code: shorter ones begin somebody's everywhere.
SHORTEST, SHORTEST_LOCAL = 4, 6
#: Countries' codes (ITU-T E.164): a few of one digit, those of two, and of three behind the other beginnings.
_TWO = (
    *(20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67)),
    *(81, 82, 84, 86, *range(90, 96), 98),
)
_THREE = (
    *(211, 212, 213, 216, 218, *range(220, 270), 290, 291, *range(297, 300)),
    *(*range(350, 360), *range(370, 390), *range(420, 424)),
    *(*range(500, 510), *range(590, 600), 670, *range(672, 693), 850, 852, 853, 855, 856, 880, 886),
    *(*range(960, 978), *range(992, 999)),
)
CODES = tuple(map(str, (1, 7, *_TWO, *_THREE)))
#: Numbers in Italy keep the zero that others leave out behind the country's code.
_KEEPS_ZERO = "39"


def beginnings(text: str) -> list[str]:
    """What a number may begin with, for channels: +49 170 …, 0049 170 …, or 0170 … of whichever country. Empty: it is none."""
    number = _digits(text)
    if len(number) < SHORTEST:
        return []
    if number.startswith("00"):
        return [number.removeprefix("00")]
    local = number.removeprefix("0")
    if local == number or len(local) < SHORTEST_LOCAL:
        return [number]
    return [number, *(code + local for code in CODES), _KEEPS_ZERO + number]


def part(text: str) -> str:
    """What a number contains for channels, with its country's code or without; what is no number stays as it is."""
    return _digits(text).lstrip("0") or text


def _digits(text: str) -> str:
    """Without what people write between digits; "" if more than digits is left."""
    number = re.sub(r"(?<=.)\(0\)|[\s+().\-/]", "", text.strip())  # +49 (0) 170 …, but (0)170 is 0170
    return number if number.isascii() and number.isdigit() else ""
