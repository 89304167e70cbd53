"""What comes in pieces, put together: texts, and calls of tools, of providers that count or repeat as they like."""

from __future__ import annotations

import json
from typing import Any

from shared.http import number_of

#: Characters of a piece that the next one begins with, from which on pieces repeat what came before them. Words may: ha, haha.
PROVEN = 12
#: The same at the end of a text that has grown in three pieces or more, and of any other.
PROVEN_AT_END, PROVEN_BY_TWO = 4, 8
#: Characters of a text that the last piece repeats as a whole.
REPEATED = 8


class Pieces:
    """A text whose pieces follow one another, or each repeat all that came before them, as the second of them shows.

    `repeats`: what an earlier answer of the model has shown.
    """

    def __init__(self, *, repeats: bool = False) -> None:
        self.text = ""
        #: Whether each piece repeats all before it; None: nobody can tell yet.
        self.repeats: bool | None = None
        self._expected = repeats
        self._held = list[str]()

    def add(self, piece: str, *, is_last: bool = False) -> str:
        """What the text has more with this piece, as far as it is known. `is_last`: the provider says that it is the last one."""
        if self.repeats is None:
            return self._learn(piece)
        if self.repeats and piece.startswith(self.text):
            return self._more(piece[len(self.text) :])
        if is_last and piece == self.text and len(piece) >= REPEATED:
            return ""
        return self._more(piece)

    def end(self) -> str:
        """What the text has more, now that no other piece comes."""
        if self.repeats is not None or not self._held:
            return ""
        before = len(self._held[-2]) if len(self._held) > 1 else 0
        is_growing = len(self._held) > 2 and len(self._held[-1]) > len(self._held[0])
        return self._settle(self._expected or before >= (PROVEN_AT_END if is_growing else PROVEN_BY_TWO))

    def _learn(self, piece: str) -> str:
        if not self._held:
            self._held = [piece]
            self.text = piece
            return piece
        before = self._held[-1]
        self._held.append(piece)
        if not piece.startswith(before):
            return self._settle(False)
        is_proven = len(piece) > len(before) and (self._expected or len(before) >= PROVEN)
        return self._settle(True) if is_proven else ""

    def _settle(self, repeats: bool) -> str:
        """Takes what was held for what it is. The first piece was handed on."""
        self.repeats = repeats
        first, *others = self._held
        self._held = []
        whole = others[-1] if repeats and others else "".join([first, *others])
        return self._more(whole[len(first) :])

    def _more(self, text: str) -> str:
        self.text += text
        return text


class CallPieces:
    """Calls of tools whose pieces have indexes and ids, or wrong ones, or none."""

    def __init__(self) -> None:
        #: As a message has them.
        self.calls = list[dict[str, Any]]()
        #: By what their next pieces have in common with them.
        self._open: dict[Any, dict[str, Any]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether the last call has all its arguments, as far as that can be told."""
        return bool(self.calls) and _is_whole(self.calls[-1]["function"]["arguments"])

    def add(self, part: dict[str, Any]) -> None:
        """Takes one piece."""
        function = part.get("function")
        given = function if isinstance(function, dict) else part
        name, arguments = given.get("name"), given.get("arguments")
        call = self._call_of(part, name)
        call["id"] = part.get("id") or call["id"]
        known = call["function"]
        if isinstance(name, str) and name != known["name"]:
            known["name"] += name
        if isinstance(arguments, dict):
            known["arguments"] = arguments
        elif isinstance(arguments, str) and isinstance(known["arguments"], str):
            known["arguments"] = _continued(known["arguments"], arguments)

    def _call_of(self, part: dict[str, Any], name: Any) -> dict[str, Any]:
        key = part.get("index")
        if key is None:  # some send calls whole, and do not number them
            key = f"id {part['id']}" if part.get("id") else next(reversed(self._open), 0)
        if isinstance(key, str) and (number := number_of(key)) is not None:
            key = number
        begun = self._open.get(key)
        if begun is None and self.calls and not name and not part.get("id"):  # its pieces are numbered, and not the calls
            return self.calls[-1]
        if begun is None or (name and _is_another(begun, name, part.get("id"))):
            begun = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            self.calls.append(begun)
            self._open[key] = begun
        return begun


def _is_another(begun: dict[str, Any], name: str, call_id: Any) -> bool:
    """Whether a piece with a name belongs to another call than the one that has its number."""
    function = begun["function"]
    if not function["arguments"] or not _is_whole(function["arguments"]):
        return False
    return name != function["name"] or bool(call_id and begun["id"] and call_id != begun["id"])


def _is_whole(arguments: Any) -> bool:
    if not isinstance(arguments, str):
        return True
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def _continued(begun: str, more: str) -> str:
    """Arguments and their next piece, which may be all of them once more, or the first that says anything."""
    return more if begun == "{}" or (begun.startswith("{") and more.startswith(begun)) else begun + more
