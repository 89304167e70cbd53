"""JSON within a text of a body, as filled-in forms come: it was not checked with the body."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from shared.payloads import strip_invalid

#: Levels that are kept; what is deeper is left out.
MAX_LEVELS = 20


def read(text: str) -> Any:
    """What a text says as JSON, as it may be stored; the text itself, if it is none."""
    try:
        return storable(json.loads(text, parse_constant=str))
    except (ValueError, RecursionError):
        return strip_invalid(text)


def storable(value: Any, levels: int = MAX_LEVELS) -> Any:
    """The value without NUL, half characters and numbers that are none, and not too deep."""
    if isinstance(value, str | float):
        return strip_invalid(value) if isinstance(value, str) else value if isfinite(value) else str(value)
    if not levels:
        return None
    if isinstance(value, dict):
        return {strip_invalid(name): storable(one, levels - 1) for name, one in value.items()}
    return [storable(one, levels - 1) for one in value] if isinstance(value, list) else value
