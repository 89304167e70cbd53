"""PDFs become Markdown: lines in large or bold type are headings, and what stands on each page again is there once."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from shared.knowledge.documents import Raw, Unreadable

#: Pages of a PDF: three thick books. Reading one takes a hundredth of a second, or a whole one.
MAX_PAGES = 2_000
#: Letters of a page below which it is a picture.
MIN_LETTERS = 10
#: Lines at the top and the bottom of a page that may be a header or a footer, and the share of pages that have it then.
EDGE, REPEATED = 4, 0.4
#: How much larger than the text a heading is, its characters, and the share of a document's letters that headings may be.
LARGER, LONGEST, MOST_HEADINGS = 1.12, 120, 0.3
#: The level of a heading that is in bold type, and no larger.
LOWEST = 6

_BOLD = re.compile(r"bold|black|heavy|semib|demi", re.I)
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[a-zß-öø-ÿ])")
_PAGE_NUMBER = re.compile(
    r"[^\w]*([^\W\d_]{1,8}\.?\s*)?(?P<number>\d{1,4})(\s*(of|von|de|di|van|из|/|\|)\s*\d{1,4})?[^\w]*", re.I
)
_FROM_RIGHT, _STOPS = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]"), ".,:;!?\u060c\u061b\u061f"
#: Where the level of headings in bold type is among those of sizes.
_IN_BOLD = -1.0
#: What stands for a page's number that stands alone, before how far it is from the place of its page.
_NUMBER = "page number"


@dataclass(frozen=True)
class Line:
    """A line of a page, and the type in which most of it is set."""

    text: str
    size: float = 0.0
    is_bold: bool = False

    @property
    def letters(self) -> int:
        """How many letters it has."""
        return sum(map(str.isalpha, self.text))


def markdown_of(raw: Raw) -> tuple[str, str, str | None]:
    """The title that a PDF has, if any, its text, and what its owner should know of it. Raises Unreadable."""
    import pypdf  # slow to import: only in the process that reads
    from pypdf.errors import LimitReachedError, PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(raw.body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is protected by a password; save it without one")
        if len(reader.pages) > MAX_PAGES:
            raise Unreadable(f"has {len(reader.pages):,} pages, and {MAX_PAGES:,} are allowed; split it by topic")
        pages = [_lines(page) for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "")
    except LimitReachedError:
        raise Unreadable("unpacks to more than can be read; split it into smaller files, or print it to a new PDF") from None
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as problem:
        raise Unreadable(f"is damaged, or no PDF ({type(problem).__name__}); print it to a new PDF") from None
    empty = [page for page in pages if sum(line.letters for line in page) < MIN_LETTERS]
    if len(empty) == len(pages):
        raise Unreadable("has no text, only pictures: it is a scan. Run a text recognition (OCR) on it first")
    warning = f"{len(empty)} of {len(pages)} pages have no text and may be scans" if empty else None
    return title, _text(_once(pages)), warning


def _lines(page: Any) -> list[Line]:
    """The lines of a page, in the order of the file, which is nearly always the one in which they are read."""
    pieces: list[tuple[str, float, bool]] = []

    def visit(text: str, outer: list[float], matrix: list[float], font: Any, size: float) -> None:
        scale = math.hypot(matrix[2], matrix[3]) * math.hypot(outer[2], outer[3])
        pieces.append((text, round(size * scale, 1), bool(_BOLD.search(str((font or {}).get("/BaseFont", ""))))))

    page.extract_text(visitor_text=visit)
    lines: list[list[tuple[str, float, bool]]] = [[]]
    for text, size, is_bold in pieces:
        first, *others = text.split("\n")
        lines[-1].append((first, size, is_bold))
        lines += [[(other, size, is_bold)] for other in others]
    return [_line(pieces) for pieces in lines if pieces]


def _line(pieces: list[tuple[str, float, bool]]) -> Line:
    sizes: Counter[float] = Counter()
    for text, size, _ in pieces:
        sizes[size] += len(text.strip())
    size = sizes.most_common(1)[0][0]
    is_bold = all(is_bold for text, _, is_bold in pieces if text.strip())
    return Line("".join(text for text, _, _ in pieces).strip(), size, is_bold)


def _once(pages: list[list[Line]]) -> list[list[Line]]:
    """The pages, with each header and footer only where it stands first."""
    filled = [[line for line in page if line.text] for page in pages]
    edges = [{_key(line, number, len(pages)) for line in (*page[:EDGE], *page[-EDGE:])} for number, page in enumerate(filled, 1)]
    counts = Counter(key for edge in edges for key in edge)
    repeated = {key for key, count in counts.items() if count >= max(2, REPEATED * len(pages))}
    seen: set[str] = set()
    left: list[list[Line]] = []
    for number, page in enumerate(filled, 1):
        kept = []
        for place, line in enumerate(page):
            key = _key(line, number, len(pages))
            is_edge = place < EDGE or place >= len(page) - EDGE
            if not (is_edge and key in repeated and (key in seen or key.startswith(_NUMBER))):
                kept.append(line)
        seen |= edges[number - 1]
        left.append(kept)
    return left


def _key(line: Line, number: int, last: int) -> str:
    """The same for a header or footer on every page, whatever the page's number in it."""
    if found := _PAGE_NUMBER.fullmatch(line.text):
        return f"{_NUMBER} {int(found['number']) - number}"
    return re.sub(rf"(?<!\d)({number}|{last})(?!\d)", "#", line.text)


def _text(pages: list[list[Line]]) -> str:
    """The pages as Markdown. A sentence that goes on at the next page stays whole."""
    if _is_backwards([line.text for page in pages for line in page]):
        pages = [[replace(line, text=_forwards(line.text)) for line in page] for page in pages]
    levels = _levels([line for page in pages for line in page])
    texts = ["\n".join(_marked(page, levels)) for page in pages if page]
    joined = ""
    for text in texts:
        goes_on = joined and text[:1].islower() and joined[-1] not in ".!?:…"
        joined += ("\n" if goes_on else "\n\n" if joined else "") + text
    return _HYPHENATED.sub("", joined)


def _is_backwards(lines: list[str]) -> bool:
    """Whether the words of Hebrew or Arabic lines are in the order from left to right: then they begin with their full stops."""
    from_right = [line for line in lines if _is_from_right(line)]
    begin = sum(line[:1] in _STOPS for line in from_right)
    return begin > sum(line[-1:] in _STOPS for line in from_right)


def _is_from_right(line: str) -> bool:
    return 2 * len(_FROM_RIGHT.findall(line)) > sum(map(str.isalpha, line))


def _forwards(line: str) -> str:
    """A line with its words in their order; what stood behind a word stands before it."""
    if not _is_from_right(line):
        return line
    words: list[str] = []
    for word in reversed(line.split()):
        bare = word.rstrip(_STOPS)
        if words:
            words[-1] += word[len(bare) :]
        own = bare.lstrip(_STOPS)
        words += [own + bare[: len(bare) - len(own)]] if bare else []
    return " ".join(words)


def _levels(lines: list[Line]) -> dict[float, int]:
    """The level of a heading by its size, and that of bold ones; none where too much would be a heading, as on flyers."""
    letters: Counter[float] = Counter()
    for line in lines:
        letters[line.size] += line.letters
    body, total = letters.most_common(1)[0][0], sum(letters.values())
    larger = sorted({line.size for line in lines if line.size > LARGER * body and _is_short(line)}, reverse=True)
    levels = {size: min(level, LOWEST - 1) for level, size in enumerate(larger, 1)}
    if sum(line.letters for line in lines if line.size in levels) > MOST_HEADINGS * total:
        return {}
    bold = sum(line.letters for line in lines if line.is_bold and line.size not in levels)
    return levels | ({_IN_BOLD: LOWEST} if bold < MOST_HEADINGS * total else {})


def _is_short(line: Line) -> bool:
    return len(line.text) <= LONGEST and line.letters > max(2, len(line.text) / 3)


def _marked(page: list[Line], levels: dict[float, int]) -> Iterator[str]:
    """Lines with the marks of headings; a heading of two lines is one."""
    heading, its_level = "", 0
    for place, line in enumerate(page):
        level = levels.get(line.size, 0) if _is_short(line) else 0
        if not level and _IN_BOLD in levels and _is_bold_heading(page, place):
            level = levels[_IN_BOLD]
        if heading and level != its_level:
            yield f"\n{'#' * its_level} {heading}\n"
            heading = ""
        if level:
            heading, its_level = f"{heading} {line.text}".strip(), level
        else:
            yield line.text
    if heading:
        yield f"\n{'#' * its_level} {heading}\n"


def _is_bold_heading(page: list[Line], place: int) -> bool:
    line, around = page[place], [*page[max(place - 1, 0) : place], *page[place + 1 : place + 2]]
    is_alone = place + 1 < len(page) and not any(other.is_bold and other.size == line.size for other in around)
    return line.is_bold and is_alone and _is_short(line) and line.text[-1] not in ".,;:"
