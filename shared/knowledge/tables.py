"""Tables of questions and answers: CSV, TSV, Excel. A row becomes an item.

The columns are found by their headers, in many languages; without known headers they are the first two. A row without a
question belongs to the question above it, as in merged cells. A row of a table of other things, such as products and prices,
becomes an item with all that its columns say. What looks like a formula is text.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

from shared.http.urls import UrlRefused, normalize_url
from shared.knowledge.columns import HEADER_WITHIN, Layout, Row, layout_of
from shared.knowledge.documents import MAX_ITEMS, Document, Item, Raw, Unreadable, stem
from shared.knowledge.encoding import as_written, decode
from shared.knowledge.faq import has_html, text_of_html
from shared.knowledge.rows import described, is_shown, names_people, sections_of
from shared.knowledge.split import SEPARATOR, split
from shared.knowledge.weekdays import is_week

_DELIMITERS = ",;\t|"
#: Rows from which the delimiter is seen.
SAMPLE_ROWS = 50
#: Lines of a row whose cells have line ends in them.
MAX_LINES = 100
#: Characters of a line in which quotation marks that do not fit are looked into, which takes their square.
MAX_LINE = 20_000
#: Characters of a text that may begin another one by more than chance.
REPEATED = 30
#: Rows that a warning names.
NAMED = 5

#: A line that Excel took for one cell: all of it is in quotation marks, and those within it are doubled.
_ONE_CELL = re.compile(r'"((?:[^"]|"")*)"[,;\t ]*')
#: Capital letters of Latin and Cyrillic script, within a set.
_CAPITAL = r"A-ZÀ-Þ\u0100-\u017d\u0410-\u042f"
#: What a spreadsheet writes where a formula has no result, and where a column is too narrow.
_NO_RESULT = re.compile(rf"#(?:[¡¿]?[{_CAPITAL}][{_CAPITAL}0-9/]{{1,11}}[!?]|[{_CAPITAL}]/[{_CAPITAL}]|NV|YOK|#{{2,}})")

_ENTITY = re.compile(r"&(?:#\d{2,5}|[A-Za-z]{2,6});")


class _Names(NamedTuple):
    """What a table is called: its file, and its sheet if somebody has named it."""

    file: str
    sheet: str


@dataclass
class Problems:
    """What the owner of a table should know of it, row by row."""

    left_out: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)
    uncalculated: list[str] = field(default_factory=list)
    repeated: int = 0

    def warning(self) -> str | None:
        """All of them, the first few by name."""
        parts = [f"left out: {_named(self.left_out)}" if self.left_out else ""]
        parts.append(f"a quotation mark is not closed in {_named(self.unclosed)}" if self.unclosed else "")
        parts.append(
            f"formulas without their results (open it in Excel and save it): {_named(self.uncalculated)}"
            if self.uncalculated
            else ""
        )
        parts.append(f"repetitions left out: {self.repeated}" if self.repeated else "")
        return "; ".join(filter(None, parts)) or None


def _named(rows: list[str]) -> str:
    return ", ".join(rows[:NAMED]) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")


def read_csv(raw: Raw) -> Document:
    """A CSV or TSV file, with any of the usual delimiters."""
    text = _lines_in_quotes(decode(raw.body))
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own line
        text, delimiter = rest, first.strip()[4]
    else:
        delimiter = "\t" if raw.name.lower().endswith(".tsv") else _delimiter(text)
    problems = Problems()
    return document_of(raw, [("", _rows(text, delimiter, problems))], problems, delimiter)


def _lines_in_quotes(text: str) -> str:
    """The table within one that was opened with the wrong delimiter and saved: each of its lines became one cell.

    A column of texts in quotation marks is none: its header, at least, has no delimiter.
    """
    lines = [_ONE_CELL.fullmatch(line) for line in text.splitlines() if line.strip()]
    found = [line[1].replace('""', '"') for line in lines if line]
    is_table = len(found) == len(lines) and any(all(mark in line for line in found) for mark in _DELIMITERS)
    return "\n".join(found) if is_table else text


def _rows(text: str, delimiter: str, problems: Problems) -> Iterator[Row]:
    """The rows of a CSV file. A quotation mark that is never closed would take all that follows: such a row is its line alone."""
    try:
        rows: list[Row] = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        rows = list(_patient_rows(text, delimiter, problems))
    yield from rows


def _patient_rows(text: str, delimiter: str, problems: Problems) -> Iterator[Row]:
    lines, place, number = text.splitlines(keepends=True), 0, 0
    while place < len(lines):
        number += 1
        row, length = _row_of(lines[place : place + MAX_LINES], delimiter)
        if row is None:
            row, is_open = _row_of_line(lines[place].rstrip("\r\n"), delimiter)
            if is_open:
                problems.unclosed.append(f"row {number}")
        yield row
        place += length


def _row_of(lines: list[str], delimiter: str) -> tuple[Row | None, int]:
    """The row that begins these lines, and how many of them it takes; None if its quotation marks do not fit."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None, 1


def _row_of_line(line: str, delimiter: str) -> tuple[Row, bool]:
    """Cells of a line whose quotation marks do not fit: one closes a cell before a delimiter only. And whether one stays open."""
    if len(line) > MAX_LINE:
        return line.split(delimiter), True
    mark = re.escape(delimiter)
    cell = rf'(?:^|{mark})(?:"((?>(?:""|\\.|"(?!\s*(?:{mark}|$))|[^"\\])*))"\s*(?={mark}|$)|([^{mark}]*))'
    cells = re.findall(cell, line)
    row = [(quoted or bare.removeprefix('"')).replace('""', '"').replace('\\"', '"') for quoted, bare in cells]
    return row, any(bare.startswith('"') for _, bare in cells)


def _delimiter(text: str) -> str:
    """The one that gives the most rows of the same width. Most are strict with quotation marks, and then only one fits."""
    fits = {(strict, delimiter): _fit(text, delimiter, strict) for strict in (True, False) for delimiter in _DELIMITERS}
    return max(fits, key=lambda key: fits[key])[1]


def _fit(text: str, delimiter: str, strict: bool) -> tuple[bool, int, int]:
    widths: Counter[int] = Counter()
    try:
        for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict), SAMPLE_ROWS):
            widths[len(row)] += 1
    except csv.Error:
        pass  # the rows before it count
    count, width = max(((count, width) for width, count in widths.items() if width > 1), default=(0, 0))
    return strict and count > 0, count, width


def document_of(raw: Raw, sheets: Iterable[tuple[str, Iterator[Row]]], problems: Problems, delimiter: str = "") -> Document:
    """The document of a table, or of the sheets of one by their names. Raises Unreadable, if none of its rows is an item."""
    items: dict[Item, None] = {}
    widest = 0
    for name, rows in sheets:
        for number, found, width in _found(rows, delimiter, _Names(stem(raw.name), name)):
            widest = max(widest, width)
            if isinstance(found, Item):
                for title, content in split(found.title, found.content, has_headings=False):
                    item = Item(title, content, found.url)
                    problems.repeated += item in items
                    items[item] = None
            elif found:
                problems.left_out.append(f"row {number} {found}")
            if len(items) > MAX_ITEMS:
                raise Unreadable(f"has more than {MAX_ITEMS:,} rows; split it into files by topic")
    if not items:
        one = "has one column" if widest == 1 else "has no row with a question and an answer"
        raise Unreadable(f"{one}; give it two columns with the headers question and answer")
    return Document(raw.name, list(items), warning=problems.warning())


def _found(rows: Iterator[Row], delimiter: str, names: _Names) -> Iterator[tuple[int, Item | str, int]]:
    """Of each row: its number, the item or what is missing, how many cells it has."""
    filled = ((number, row) for number, row in enumerate(rows, 1) if any(_stripped(row)))
    first = list(islice(filled, HEADER_WITHIN))
    layout = layout_of([_stripped(row) for _, row in first])
    header = first[layout.header - 1][1] if layout.header else []
    last = len(header) if delimiter and header and layout.pairs[-1][1] == len(header) - 1 else 0
    asked = [question for question, _ in layout.pairs]
    wanted: list[tuple[int, list[str]]] = []
    is_named_shown = True
    for number, raw in chain(first[layout.header :], filled):
        row = _stripped(_rejoined(raw, last, delimiter) if last else raw)
        if any(place < len(row) and row[place] for place in asked):
            is_named_shown = is_shown(layout, row)
        if not (is_named_shown and is_shown(layout, row)):  # nor is what belongs to the row above, as a product's sizes
            yield number, "is marked as not public", len(row)
        elif row != _stripped(header):  # which some repeat above each section
            wanted.append((number, row))
    named = [(row[asked[0]] if asked[0] < len(row) else "") for _, row in wanted]
    beside = (cell for _, row in wanted for place, cell in enumerate(row) if place != asked[0])
    is_list = layout.is_list and len(wanted) > 1 and bool(named[0])
    if is_list and is_week(list(filter(None, named)), beside, may_be_people=names_people(layout)):
        above = [cells[0] for _, row in first[: layout.header] if len(cells := list(filter(None, _stripped(row)))) == 1]
        yield from _week(wanted, layout, (above or [names.sheet or names.file])[-1])
        return
    for pair in layout.pairs:
        yield from _items(wanted, layout, pair, names.sheet)


def _week(rows: list[tuple[int, list[str]]], layout: Layout, title: str) -> Iterator[tuple[int, Item | str, int]]:
    """The days of a table as one item. A row alone would be found by its day only, and of seven that fit chatbots get five."""
    lines: list[str] = []
    column, day = layout.pairs[0][0], ""
    for number, row in rows:
        day = "".join(row[column : column + 1]) or day
        cells = [line.replace(": ", " ", 1) for line in described(layout, row).split("\n")] if layout.names else row[1:]
        if told := ", ".join(filter(None, (" ".join(_without_html(cell).split()) for cell in cells))):
            lines.append(f"{_without_html(day)}: {told}")
        else:
            yield number, "has no answer", len(row)
    if lines:
        yield rows[0][0], Item(_without_html(title), "\n".join(lines)), len(rows[0][1])


def _items(
    rows: list[tuple[int, list[str]]], layout: Layout, pair: tuple[int, int], sheet: str
) -> Iterator[tuple[int, Item | str, int]]:
    """The items of two columns."""
    start = f"{sheet}{SEPARATOR}" if sheet and layout.is_list else ""
    section, above, unanswered = start, "", None
    sections = sections_of(rows, layout)
    for number, row in rows:
        if number in sections:
            section, above = f"{start}{sections[number]}{SEPARATOR}", ""
            continue
        width = max(place for place, cell in enumerate(row, 1) if cell)
        question, answer, link = (row[column] if 0 <= column < len(row) else "" for column in (*pair, layout.link))
        if layout.names:
            answer = described(layout, row)
        elif layout.more:
            answer = _joined([answer, *(row[column] for column in layout.more if column < len(row))])
        if question:
            if unanswered:
                yield unanswered
            above, unanswered = question, None if answer else (number, "has no answer", width)
        if answer and above:
            unanswered = None  # a row below may have the answer
            yield number, Item(_without_html(section + above), _without_html(answer), _link(link)), width
        elif not question and len(layout.pairs) == 1:
            yield number, "has no question", width
    if unanswered:
        yield unanswered


def _joined(cells: list[str]) -> str:
    """Cells of one answer. Exports have some texts twice, whole and cut to their beginnings."""
    return "\n".join(cell for place, cell in enumerate(cells) if cell and not _is_repeated(cells, place))


def _is_repeated(cells: list[str], place: int) -> bool:
    cell = cells[place]
    return len(cell) > REPEATED and any(
        one.startswith(cell) and (one != cell or other > place) for other, one in enumerate(cells)
    )


def _without_html(cell: str) -> str:
    """A cell's text: exports of shops and help desks have HTML in it."""
    if has_html(cell):
        return as_written(text_of_html(cell))
    return as_written(html.unescape(cell) if _ENTITY.search(cell) else cell)


def _stripped(row: Row) -> list[str]:
    """A row's cells; one without a result is empty."""
    return ["" if _NO_RESULT.fullmatch(cell) else cell for cell in map(str.strip, row)]


def _rejoined(row: Row, cells: int, delimiter: str) -> Row:
    """The row with its last column whole, where that has the delimiter in it and nobody put it in quotation marks."""
    return [*row[: cells - 1], delimiter.join(row[cells - 1 :]).rstrip(f" {delimiter}")] if any(row[cells:]) else row


def _link(text: str) -> str | None:
    try:
        return normalize_url(text, allow_private=True) if text else None
    except UrlRefused:
        return None
