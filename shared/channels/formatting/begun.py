"""The beginning of a text that is still being written, so that its page shows no mark that has no end yet.

Only the line that is being written counts: what is guessed wrongly there is put right with the next piece.
"""

from __future__ import annotations

import re

from shared.channels.formatting.dialect import is_amount

#: Marks as they stand in a line; half a mark, at its end; a link whose address has not come, with its label.
_MARKS = re.compile(r"\*\*|__|~~|[*_`]")
_HALF_MARK = re.compile(r"[*_~`]{1,3}\Z")
_HALF_LINK = re.compile(r"!?\[([^\[\]\n]+)(?:\]\([^()\s]*)?\Z")
_FENCE = re.compile(r"^[ \t]*```", re.M)


def completed(markdown: str) -> str:
    """The text with the marks closed that its last line has opened, and without half of one."""
    if len(_FENCE.findall(markdown)) % 2:
        return markdown
    above, line_end, line = markdown.rpartition("\n")
    line = _HALF_LINK.sub(r"\1", line)
    if _open_marks(line) or not _is_closing(line):
        line = _HALF_MARK.sub("", line)
    marks = _open_marks(line)
    return above + line_end + (line.rstrip() + "".join(reversed(marks)) if marks else line)


def _is_closing(line: str) -> bool:
    """Whether the mark at a line's end, where all are closed, is such an end: no mark has been begun there."""
    half = _HALF_MARK.search(line)
    if half is None:
        return True
    is_begun = len(half[0]) > 1 and line.count(half[0]) % 2 == 1  # "Price**", of "Price**10 €**"
    return half.start() > 0 and not line[half.start() - 1].isspace() and not is_begun


def _open_marks(line: str) -> list[str]:
    """The marks that were opened and not closed, in their order. Within code there are none."""
    marks: list[str] = []
    for found in _MARKS.finditer(line):
        mark, before, after = found[0], line[found.start() - 1 : found.start()], line[found.end() : found.end() + 1]
        if "`" in marks and mark != "`":
            continue
        ends_label = line[: found.start()].endswith(": ")  # "**Note: **we ship", as in dialect.py
        if mark in marks and (ends_label or not before.isspace()):
            del marks[marks.index(mark) :]
        elif after.strip() and (not before.isalnum() or (mark == "**" and is_amount(line[: found.start()], after))):
            marks.append(mark)
    return marks
