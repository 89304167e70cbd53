"""English texts that other rooms say and the desk shows in its reader's language: how they are marked, and recognised again.

Where a value stands in a text it has a name, as gettext has it: "the site answered HTTP %(number)s".
"""

from __future__ import annotations

import re
from functools import cache


def marked(text: str) -> str:
    """The text itself; marks it for translators where it is not translated yet."""
    return text


@cache
def patterns_of(texts: tuple[str, ...], before: str = "") -> list[tuple[re.Pattern[str], str]]:
    """How each text is recognised: its values are groups of their names, and the pattern `before` may stand before it."""
    return [(re.compile(before + _pattern(text), re.DOTALL), text) for text in texts]


def _pattern(text: str) -> str:
    parts = re.split(r"%\((\w+)\)s", text)
    return "".join(f"(?P<{part}>.+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
