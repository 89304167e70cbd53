"""A text in parts that a channel takes: cut where a reader would pause, never within a link, a character with its marks, an emoji
of several, nor within code that fits in a part.

A mark that a cut goes through is closed and opened again, and so is a quote, or code that is longer than a part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

#: Where a text may be cut, the best place first, with what of it stays with the part before.
_BREAKS = (("\n\n", ""), ("\n", ""), (". ", "."), ("。", "。"), (" ", ""))
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.S)
#: What is cut only if it is longer than a part: code, and links with the word before their bracket.
_WHOLE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|(?:(?<!\S)\S{1,60} \()?(?:https?://|www\.)\S+", re.S | re.I)
#: What the marks of a line enclose.
_MARKED = {mark: re.compile(rf"(?<!\w)[{mark}](?=\S)[^{mark}\n]*(?<=\S)[{mark}](?!\w)") for mark in "*_~`"}
#: Units that closing takes at most: a fence and its line, or one mark of each kind.
_ROOM = 4
#: Parts shorter than this have no room for marks that are closed and opened again.
_MIN_LIMIT = 32
#: What joins the character before it: marks, by their category; the joiner of emoji; their colours; the tags of a region's flag.
_MARKS, _JOINER, _JOINED = ("Mn", "Mc", "Me"), "\u200d", re.compile("[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
#: Two of them are a flag.
_FLAG_HALF = re.compile("[\U0001f1e6-\U0001f1ff]")
#: Characters that are one to the reader; what goes on for longer is cut all the same.
_LONGEST = 24


class _Place(NamedTuple):
    """A cut: the part before ends with `stays`, the rest begins at `begin`."""

    end: int
    begin: int
    stays: str = ""


def parts(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` UTF-16 units; the same parts at each call."""
    cut_off = []
    while not _fits(text, limit):
        part, text = _cut(text, limit)
        cut_off.append(part)
    return [part for part in (*cut_off, text) if part.strip()] or [text]


def _fitting(text: str, limit: int) -> int:
    """How many characters of the text fit."""
    return len(text) if 2 * len(text) <= limit else len(text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore"))


def _fits(text: str, limit: int) -> bool:
    return _fitting(text, limit) == len(text)


def _cut(text: str, limit: int) -> tuple[str, str]:
    """The first part, and the rest."""
    place = _find_place(text, limit, limit)
    closing, opening = _around(text, place.end) if limit >= _MIN_LIMIT else ("", "")
    if opening:
        place = _find_place(text, limit - _ROOM, limit)
        closing, opening = _around(text, place.end)
    return text[: place.end] + place.stays + closing, opening + text[place.begin :]


def _find_place(text: str, room: int, limit: int) -> _Place:
    """The best place within `room`, in its second half, so that parts stay few; at its end if there is none."""
    fitting = _fitting(text, room)
    whole = [
        (start, stop) for start, stop in _spans(text, fitting) if start and _fitting(text[start:stop], limit) == stop - start
    ]
    end = next((start for start, stop in whole if stop > fitting), fitting)
    for mark, stays in _BREAKS:
        at = text.rfind(mark, end // 2, end)
        while at >= 0 and (around := next((start for start, stop in whole if start < at < stop), None)) is not None:
            at = text.rfind(mark, end // 2, around)
        if at >= 0:
            return _stripped(text, at, at + len(mark), stays)
    border = _border(text, end)
    return _stripped(text, border, border, "") if end < fitting else _Place(border, border)


def _border(text: str, at: int) -> int:
    """The last place up to `at` that is within nothing that a reader takes for one character."""
    return next((place for place in range(at, max(at - _LONGEST, 0), -1) if not _is_one(text, place)), at)


def _is_one(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place belong together."""
    before, after = text[at - 1], text[at : at + 1]
    if before == _JOINER or _JOINED.match(after) or (after and unicodedata.category(after) in _MARKS):
        return True
    halves = sum(1 for _ in takewhile(_FLAG_HALF.match, reversed(text[max(at - 2 * _LONGEST, 0) : at])))
    return bool(_FLAG_HALF.match(after)) and halves % 2 == 1


def _spans(text: str, fitting: int) -> Iterator[tuple[int, int]]:
    for found in _WHOLE.finditer(text):
        if found.start() >= fitting:
            return
        yield found.span()


def _stripped(text: str, end: int, begin: int, stays: str) -> _Place:
    """The place without the space around it; within code, whose lines begin with space, only without the line's end."""
    if _is_fenced(text, end):
        return _Place(end, begin, stays)
    rest = text[begin:]
    return _Place(len(text[:end].rstrip()), begin + len(rest) - len(rest.lstrip()), stays)


def _around(text: str, at: int) -> tuple[str, str]:
    """What closes, and what opens again, what a cut goes through."""
    if _is_fenced(text, at):
        return "\n```", "```\n"
    start = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    line, column = text[start : line_end if line_end >= 0 else len(text)], at - start
    if column >= len(line.rstrip()):
        return "", ""
    enclosing = [
        (found.start(), mark)
        for mark, marked in _MARKED.items()
        for found in marked.finditer(line)
        if found.start() < column < found.end()
    ]
    marks = "".join(mark for _, mark in sorted(enclosing))
    return marks[::-1], ("> " if line.startswith("> ") else "") + marks


def _is_fenced(text: str, at: int) -> bool:
    return any(found.start() < at < found.end() for found in _FENCED.finditer(text))
