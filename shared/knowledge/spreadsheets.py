"""Excel files: all visible rows of all visible sheets, as Excel shows them, or nearly."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Iterator
from typing import Any

from shared.knowledge.columns import Row
from shared.knowledge.documents import Document, Raw, Unreadable
from shared.knowledge.tables import Problems, document_of

#: Columns of a sheet that are looked at: one cell far to the right makes all rows as wide.
MAX_COLUMNS = 50
#: Empty rows after which nothing more comes: Excel keeps a million for a format that somebody set.
MAX_EMPTY = 5_000
#: The money of a cell's format: [$€-407], "CHF", $; and its digits behind the point.
_MONEY = re.compile(r"\[\$([^\]\-]{1,5})|(CHF|EUR|USD|GBP|PLN|Kč|kr|zł|[€£¥₹₽₺])|^_?[\-(*\s\\\"]*(\$)")
_DIGITS = re.compile(r"\.(0+)")
#: What Excel and exports call a sheet that nobody has named.
_NO_NAME = re.compile(
    r"(sheet|tabelle|feuil|hoja|foglio|blad|planilha|arkusz|лист|worksheet|products?[ _]?export|export|data)\W*\d*$", re.I
)
_ZEROS = re.compile("0{2,12}")


def read_xlsx(raw: Raw) -> Document:
    """All visible sheets of an Excel file."""
    import openpyxl  # slow to import: only in the process that reads

    try:
        # A formula's result is kept beside it, unless no Excel has calculated it.
        results, formulas = (
            openpyxl.load_workbook(io.BytesIO(raw.body), read_only=True, data_only=data_only, keep_links=False)
            for data_only in (True, False)
        )
        names = [sheet.title for sheet in results.worksheets if sheet.sheet_state == "visible"]
        problems = Problems()
        sheets = [("" if _NO_NAME.match(name) else name, _rows(results[name], formulas[name], problems)) for name in names]
        return document_of(raw, sheets, problems)
    except (Unreadable, MemoryError):
        raise
    except Exception as problem:
        raise Unreadable(f"is damaged, or no Excel file ({type(problem).__name__}); open it in Excel and save it again") from None


def _rows(results: Any, formulas: Any, problems: Problems) -> Iterator[Row]:
    """Rows with their cells; hidden ones, and cells of hidden columns, are empty. A merged cell is in each of its rows."""
    hidden_rows, hidden_columns, merged = _look_of(results)
    above: dict[int, tuple[int, str]] = {}
    pairs = zip(results.iter_rows(max_col=MAX_COLUMNS), formulas.iter_rows(max_col=MAX_COLUMNS), strict=False)
    empty = 0
    for number, (row, formula_row) in enumerate(pairs, 1):
        cells = [_cell(cell) or _formula(formula, number, problems) for cell, formula in zip(row, formula_row, strict=False)]
        cells = ["" if place in hidden_columns else cell for place, cell in enumerate(cells, 1)]
        above |= {place: (last, cells[place - 1]) for place, last in merged.get(number, ()) if place <= len(cells)}
        if any(cells):
            cells = [cell or _from_above(above.get(place), number) for place, cell in enumerate(cells, 1)]
        if number in hidden_rows and any(cells):
            problems.left_out.append(f"row {number} is hidden")
            cells = []
        empty = 0 if any(cells) else empty + 1
        if empty > MAX_EMPTY:
            return
        yield cells


def _from_above(merged: tuple[int, str] | None, number: int) -> str:
    return merged[1] if merged and number <= merged[0] else ""


def _look_of(sheet: Any) -> tuple[set[int], set[int], dict[int, list[tuple[int, int]]]]:
    """Numbers of the rows and columns that Excel does not show, and by its first row each column merged down to a last one.

    openpyxl tells them only of files that it keeps in memory.
    """
    from lxml import etree
    from openpyxl.utils import range_boundaries

    rows, columns, merged = set[int](), set[int](), dict[int, list[tuple[int, int]]]()
    tags = ("{*}row", "{*}col", "{*}mergeCell")
    with sheet._get_source() as source:
        for _, element in etree.iterparse(source, events=("end",), tag=tags, resolve_entities=False):
            if element.tag.endswith("mergeCell"):
                column, first, _, last = range_boundaries(element.get("ref") or "A1")
                if first and column and last and last > first:
                    merged.setdefault(first, []).append((column, last))
            elif element.get("hidden") in ("1", "true"):
                if element.tag.endswith("col"):
                    columns.update(range(max(int(element.get("min")), 1), min(int(element.get("max")), MAX_COLUMNS) + 1))
                elif element.get("r"):
                    rows.add(int(element.get("r")))
            element.clear()  # memory
    return rows, columns, merged


def _formula(cell: Any, number: int, problems: Problems) -> str:
    """A formula that no Excel has calculated, as text."""
    text = _cell(cell)
    if text.startswith("="):
        problems.uncalculated.append(f"row {number}")
    return text


def _cell(cell: Any) -> str:
    """What Excel shows, or nearly; with Markdown's marks around what is struck out, or else it is told as if it held."""
    text = _text(cell)
    return f"~~{text}~~" if text and cell.has_style and cell.font.strike else text


def _text(cell: Any) -> str:
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "")
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.time):
        return value.isoformat("minutes")
    return str(value)


def _number(value: float, number_format: str) -> str:
    if "%" in number_format:
        return f"{value * 100:.10g} %"
    if _ZEROS.fullmatch(number_format) and value == int(value):  # a postal code, an article's number
        return f"{int(value):0{len(number_format)}d}"
    money = _MONEY.search(number_format)
    if money is None:
        return f"{value:.15g}"
    digits = _DIGITS.search(number_format)
    return f"{value:.{len(digits[1]) if digits else 0}f} {next(filter(None, money.groups())).strip()}"
