"""A body that comes in pieces, as JSON objects: server-sent events however they are put, or lines of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.ai.refusals import error_of

_BOM = b"\xef\xbb\xbf"
#: How a piece is read: bytes that are no character stay what they are, for the character's others may come in the next piece.
BYTES_LEFT = "surrogateescape"
_LINE_END = re.compile(rb"\r\n|\r|\n")
#: What may stand between two objects of one line, of a provider that forgets the end of a line.
_BETWEEN = re.compile(r"\s*(?:data:\s*)?")
#: Line ends and tabs within a text are forbidden, and some send them all the same.
_DECODER = json.JSONDecoder(strict=False)


class EventReader:
    """The data of server-sent events, from pieces that end anywhere."""

    def __init__(self) -> None:
        self._rest, self._data = b"", list[bytes]()
        self._is_error = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that is complete now."""
        text = self._rest + piece
        held = 1 if text.endswith(b"\r") else 0  # it may be the first half of a line end
        *lines, rest = _LINE_END.split(text[: len(text) - held])
        self._rest = rest + text[len(text) - held :]
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[bytes]:
        """The data of an event that the stream's end completes."""
        line, self._rest = self._rest.rstrip(b"\r"), b""
        yield from self._line(line)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not line:
            if self._data:
                data = b"\n".join(self._data)
                yield _as_error(data) if self._is_error else data
            self._data, self._is_error = [], False
            return
        name, _, value = line.removeprefix(_BOM).partition(b":")
        if name == b"event":
            self._is_error = value.strip() == b"error"
        if name in (b"data", b"error"):  # llama.cpp has both; others: comments, which keep the connection, id and retry
            self._data.append(value.removeprefix(b" "))


def _as_error(data: bytes) -> bytes:
    """The data of an event that is called an error, as JSON that says so: some have nothing but words there."""
    value = json_of(data)
    if isinstance(value, Mapping):
        return data
    words = value if isinstance(value, str) else data.decode("utf-8", "replace").strip()
    return json.dumps({"error": words or "error"}).encode()


def objects_of(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The JSON objects of an event, and what behind them is none: one, or several of a provider that forgets the empty line
    between events, or the end of a line."""
    value, rest = json_of(data), b""
    values = value if isinstance(value, list) else [value]
    if value is None:
        values = []
        for line in data.split(b"\n"):
            found, left = _in_line(line.decode("utf-8", BYTES_LEFT))
            values, rest = values + found, left.encode("utf-8", BYTES_LEFT) or rest
    return [one for one in values if isinstance(one, dict)], rest


def first_object(body: bytes) -> dict[str, Any] | None:
    """The object with which a body begins that is no JSON: a byte of a character is missing, a line end within a text is not
    escaped, or something follows the object. None if it begins with none."""
    found, _rest = _in_line(body.removeprefix(_BOM).decode("utf-8", "replace"))
    return found[0] if found and isinstance(found[0], dict) else None


def _in_line(line: str) -> tuple[list[Any], str]:
    found, place = list[Any](), 0
    while between := _BETWEEN.match(line, place):
        place = between.end()
        try:
            value, place = _DECODER.raw_decode(line, place)
        except (ValueError, RecursionError):
            break
        found.append(value)
    return found, line[place:]


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """The objects of a body whose lines are JSON and nothing else; [] of anything else."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines):
        return []
    found = [json_of(line) for line in lines]
    return [] if None in found else found


def json_of(text: bytes) -> Any:
    """What it says as JSON; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_error(event: Mapping[str, Any]) -> bool:
    """Whether it is an error, also one that does not call itself so: vLLM's object, or nothing but a message."""
    if error_of(event) or event.get("object") == "error" or event.get("type") == "error":
        return True
    base = event.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code"):  # MiniMax
        return True
    said = event.get("message") if isinstance(event.get("message"), str) else ""
    return not event.get("choices") and bool(said or any(event.get(name) for name in ("detail", "error_msg", "errors")))
