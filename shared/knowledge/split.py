"""Splits a text into knowledge items: at headings, then paragraphs, lines, sentences and words.

A part has at most PART characters, and its title says where it stands: page, heading, heading. Put together again, the titles'
headings and the parts are the text: nothing is lost or there twice, and no word is cut that is not longer than a part itself.
Rows of tables and items of lists are lines, so they stay whole where they fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.payloads import strip_invalid

#: Characters of a part. Search weighs an item as a whole and the prompt pays for it: a page of many topics serves neither.
PART = 2_000
#: Characters of a title, as in schema.sql.
TITLE = 500
#: Characters of one heading in a title; a longer one is a paragraph that somebody made bold.
HEADING = 200
#: Characters of the headings above, where a title would be longer than TITLE.
ABOVE = 40
SEPARATOR = " › "

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.+)")
_UNDERLINE = re.compile(r" {0,3}(={3,}|-{3,})[ \t]*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
#: What looks like a paragraph, and is none that a line of hyphens makes a heading.
_NO_PARAGRAPH = re.compile(r"\s*([|>*+-]|\d+[.)]\s|$)")
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")

#: Where to cut, the best places first: behind each match. None of them looks at a character twice, whatever the text.
_CUTS = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'»”’)\]])\s+|[。！？]+[」』”’）]*"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True)
class _Section:
    """What stands below a heading, up to the next one. `headings`: those above it, and its own."""

    headings: tuple[str, ...]
    body: str


def split(title: str, text: str, has_headings: bool = True) -> list[tuple[str, str]]:
    """The items (title, content) that a text becomes. Headings are Markdown's, unless it has none."""
    text = _LINE_END.sub("\n", strip_invalid(text)).strip("\n\ufeff")
    title = " ".join(strip_invalid(title).split()) or _first_words(text)
    sections = list(_sections(title, text)) if has_headings else [_Section((), text)]
    titles = [_title((title, *section.headings)) for section in sections]
    items: list[tuple[str, str]] = []
    for place, section in enumerate(sections):
        body = section.body.strip()
        if place == 0 and len(title) > TITLE:
            body = f"{title}\n\n{body}"
        if section.headings and len(section.headings[-1]) > HEADING:
            body = f"{section.headings[-1]}\n\n{body}"
        elif section.headings and not body and not _is_in(titles[place], titles[place + 1 : place + 2]):
            body = section.headings[-1]
        items += [(titles[place], part) for part in parts(body)]
    return items


def parts(text: str, limit: int = PART) -> list[str]:
    """The text in parts of at most `limit` characters, of about the same length."""
    pieces = list(_pieces(text, limit))
    # Not as full as they may be, or the last part would often be a few words; pieces do not fit to the character.
    fair = len(text) / math.ceil(len(text) / (0.9 * limit) or 1)
    packed: list[str] = []
    for piece in pieces:
        if packed and len(packed[-1]) < fair and len((packed[-1] + piece).strip()) <= limit:
            packed[-1] += piece
        else:
            packed.append(piece)
    return [stripped for part in packed if (stripped := part.strip())]


def _pieces(text: str, limit: int, level: int = 0) -> Iterator[str]:
    """Pieces that fit, cut no deeper than they must; joined they are the text."""
    if len(text.strip()) <= limit:
        yield text
    elif level == len(_CUTS):
        yield from (text[start : start + limit] for start in range(0, len(text), limit))
    else:
        start = 0
        for end in [cut.end() for cut in _CUTS[level].finditer(text)] + [len(text)]:
            yield from _pieces(text[start:end], limit, level + 1)
            start = end


def _sections(title: str, text: str) -> Iterator[_Section]:
    above: list[tuple[int, str]] = []
    body: list[str] = []
    for level, heading, line in _lines(text):
        if not level:
            body.append(line)
            continue
        if body or above:
            yield _Section(tuple(name for _, name in above), "\n".join(body))
        body = []
        while above and above[-1][0] >= level:
            above.pop()
        if above or heading.casefold() != title.casefold():  # a page often begins with its title
            above.append((level, heading))
    yield _Section(tuple(name for _, name in above), "\n".join(body))


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Each line as (level of a heading or 0, the heading, the line)."""
    lines, fence, skip = text.split("\n"), "", False
    for number, line in enumerate(lines):
        if skip:
            skip = False
            continue
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
        elif opened := _FENCE.match(line):
            fence = opened[1]
        elif (atx := _ATX.fullmatch(line)) and (heading := _plain(atx[2])):
            yield len(atx[1]), heading, line
            continue
        elif _is_underlined(lines, number):
            skip = True
            yield 1 if "=" in lines[number + 1] else 2, _plain(line), line
            continue
        yield 0, "", line


def _is_underlined(lines: list[str], number: int) -> bool:
    """Whether a line is a heading because the next one is a rule."""
    return (
        number + 1 < len(lines)
        and _UNDERLINE.fullmatch(lines[number + 1]) is not None
        and not _NO_PARAGRAPH.match(lines[number])
        and (number == 0 or not lines[number - 1].strip())
    )


def _plain(heading: str) -> str:
    """A heading without the marks of Markdown around it."""
    heading = " ".join(heading.split())
    if (unclosed := heading.rstrip("#")).endswith(" ") or not unclosed:
        heading = unclosed.rstrip()
    return heading[2:-2] if heading[:2] == heading[-2:] == "**" and len(heading) > 4 else heading


def _title(names: tuple[str, ...]) -> str:
    title = SEPARATOR.join([names[0], *(_short(name, HEADING) for name in names[1:])])
    if len(title) > TITLE and len(names) > 1:
        title = SEPARATOR.join([*(_short(name, ABOVE) for name in names[:-1]), _short(names[-1], HEADING)])
    return _short(title, TITLE)


def _short(name: str, limit: int) -> str:
    """As much of a name as fits, cut behind a word."""
    if len(name) <= limit:
        return name
    return (name[: limit - 1].rsplit(None, 1)[0] if " " in name[: limit - 1] else name[: limit - 1]).rstrip() + "…"


def _first_words(text: str) -> str:
    return _short(" ".join(text[:PART].split()).lstrip("# "), 80) or "Untitled"


def _is_in(title: str, next_titles: list[str]) -> bool:
    return any(next_title.startswith(title + SEPARATOR) for next_title in next_titles)
