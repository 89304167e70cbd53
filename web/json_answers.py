"""JSON as it leaves: in UTF-8, for escaped Russian is three times as long; and never there a second time, as a string."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

#: Levels of an answer whose members are written one by one: the object, and the list in it.
LEVELS = 2


def encoded(value: Any, dumps: Callable[[Any], str]) -> bytes:
    """A value, of which `dumps` writes one member after the other."""
    body = BytesIO()
    for piece in _pieces(value, dumps, LEVELS):
        body.write(piece.encode(errors="replace"))
    body.write(b"\n")
    return body.getvalue()


def _pieces(value: Any, dumps: Callable[[Any], str], levels: int) -> Iterator[str]:
    if levels and value and type(value) is dict and all(isinstance(name, str) for name in value):
        for place, (name, item) in enumerate(value.items()):
            yield f"{',' if place else '{'}{dumps(name)}:"
            yield from _pieces(item, dumps, levels - 1)
        yield "}"
    elif levels and value and type(value) is list:
        for place, item in enumerate(value):
            yield "," if place else "["
            yield from _pieces(item, dumps, levels - 1)
        yield "]"
    else:
        yield dumps(value)
