"""Tables of questions and answers: CSV, TSV, Excel. A row becomes an item.

The columns are found by their headers, in several languages; without known headers they are the first two. A row without a
question belongs to the question above it, as in merged cells. What looks like a formula is text.
"""

from __future__ import annotations

import csv
import datetime
import html
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from shared.http.urls import UrlRefused, normalize_url
from shared.knowledge.documents import MAX_ITEMS, Document, Item, Raw, Unreadable
from shared.knowledge.encoding import as_written, decode
from shared.knowledge.faq import has_html, text_of_html
from shared.knowledge.split import split


def _fold(header: str) -> str:
    letters = unicodedata.normalize("NFKD", header.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def _folded(words: str) -> frozenset[str]:
    return frozenset(map(_fold, words.split()))


#: Headers, by what they say: without accents, in lower case. These say by themselves which column it is, also among other words.
_ASKS = _folded(
    "question questions q frage fragen kundenfrage pregunta preguntas pergunta perguntas domanda domande vraag vragen faq"
    " 質問 问题 問題 提问 提問 질문 Вопрос Вопросы Питання Pitanje Въпрос Soru Sorular Pytanie السؤال سؤال שאלה Spørgsmål"
    " Spørsmål Fråga Kysymys Otázka Întrebare Kérdés Ερώτηση คำถาม Câuhỏi Pertanyaan Soalan प्रश्न सवाल"
)
_ANSWERS = _folded(
    "answer answers a antwort antworten respuesta respuestas resposta respostas réponse réponses risposta risposte antwoord"
    " antwoorden 回答 答え 答案 解答 答复 答覆 답변 대답 Ответ Ответы Відповідь Odgovor Отговор Cevap Yanıt Odpowiedź الجواب"
    " جواب إجابة الإجابة"
    " תשובה Svar Vastaus Odpověď Odpoveď Răspuns Válasz Απάντηση คำตอบ Trảlời Jawaban Jawapan उत्तर जवाब"
)
_QUESTION = _ASKS | _folded(
    "title topic subject heading prompt titel thema betreff título tema asunto assunto titre sujet titolo argomento onderwerp"
)
_ANSWER = _ANSWERS | _folded(
    "content text body reply response completion description inhalt beschreibung contenido texto descripción conteúdo descrição"
    " contenu texte contenuto testo inhoud tekst"
)
_LINK = _folded("url link source quelle enlace lien collegamento")
#: Words of a header that has more of them: Frage (DE), FAQ question, Frage/Question, question_en.
_WORDS, _MOST_WORDS = re.compile(r"[^\W_]+"), 4
_DELIMITERS = ",;\t|"
#: Rows from which the delimiter is seen.
SAMPLE_ROWS = 50
#: Filled rows among which the header is: a title and a date may stand above it.
HEADER_WITHIN = 5
#: Columns of a sheet that are looked at: one cell far to the right makes all rows as wide.
MAX_COLUMNS = 50
#: Empty rows after which nothing more comes: Excel keeps a million for a format that somebody set.
MAX_EMPTY = 5_000
#: Rows that a warning names.
NAMED = 5

_ENTITY = re.compile(r"&(?:#\d{2,5}|[A-Za-z]{2,6});")
#: The money of a cell's format: [$€-407], "CHF", $; and its digits behind the point.
_MONEY = re.compile(r"\[\$([^\]\-]{1,5})|(CHF|EUR|USD|GBP|PLN|Kč|kr|zł|[€£¥₹₽₺])|^_?[\-(*\s\\\"]*(\$)")
_DIGITS = re.compile(r"\.(0+)")

Row = Sequence[str]


def read_csv(raw: Raw) -> Document:
    """A CSV or TSV file, with any of the usual delimiters."""
    text = decode(raw.body)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own line
        text, delimiter = rest, first.strip()[4]
    else:
        delimiter = "\t" if raw.name.lower().endswith(".tsv") else _delimiter(text)
    return _document(raw, [_rows(text, delimiter)], delimiter)


def _rows(text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        yield from reader
    except csv.Error as problem:
        reason = "a quotation mark is not closed" if "limit" in str(problem) else str(problem)
        raise Unreadable(f"cannot be read from line {reader.line_num} on: {reason}") from None


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
        return _document(raw, [_sheet_rows(results[name], formulas[name]) for name in names])
    except Unreadable:
        raise
    except MemoryError:
        raise
    except Exception as problem:
        raise Unreadable(f"is damaged, or no Excel file ({type(problem).__name__}); open it in Excel and save it again") from None


def _sheet_rows(results: Any, formulas: Any) -> Iterator[Row]:
    empty = 0
    for row, formula_row in zip(results.iter_rows(max_col=MAX_COLUMNS), formulas.iter_rows(max_col=MAX_COLUMNS), strict=False):
        cells = [_cell(cell) or _cell(formula) for cell, formula in zip(row, formula_row, strict=False)]
        empty = 0 if any(cells) else empty + 1
        if empty > MAX_EMPTY:
            return
        yield cells


def _cell(cell: Any) -> str:
    """What Excel shows, or nearly."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "")
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    return str(value)


def _number(value: float, number_format: str) -> str:
    if "%" in number_format:
        return f"{value * 100:.10g} %"
    money = _MONEY.search(number_format)
    if money is None:
        return f"{value:.15g}"
    digits = _DIGITS.search(number_format)
    return f"{value:.{len(digits[1]) if digits else 0}f} {next(filter(None, money.groups())).strip()}"


def _document(raw: Raw, sheets: Iterable[Iterator[Row]], delimiter: str = "") -> Document:
    items: dict[Item, None] = {}
    left_out: list[str] = []
    widest = repeated = 0
    for rows in sheets:
        for number, found, width in _pairs(rows, delimiter):
            widest = max(widest, width)
            if isinstance(found, Item):
                for title, content in split(found.title, found.content, has_headings=False):
                    item = Item(title, content, found.url)
                    repeated += item in items
                    items[item] = None
            elif found:
                left_out.append(f"row {number} {found}")
            if len(items) > MAX_ITEMS:
                raise Unreadable(f"has more than {MAX_ITEMS:,} rows; split it into files by topic")
    if not items:
        one = "has one column" if widest == 1 else "has no row with a question and an answer"
        raise Unreadable(f"{one}; give it two columns with the headers question and answer")
    return Document(raw.name, list(items), warning=_warning(left_out, repeated))


def _pairs(rows: Iterator[Row], delimiter: str) -> Iterator[tuple[int, Item | str, int]]:
    """Of each row: its number, the item or what is missing, how many cells it has."""
    filled = ((number, row) for number, row in enumerate(rows, 1) if any(_stripped(row)))
    first = list(islice(filled, HEADER_WITHIN))
    columns, header = _columns([_stripped(row) for _, row in first])
    cells = len(first[header - 1][1]) if header else 0
    last = cells if delimiter and header and columns[1] == cells - 1 else 0
    above, unanswered = "", None
    for number, raw in chain(first[header:], filled):
        row = _stripped(_rejoined(raw, last, delimiter) if last else raw)
        width = max(place for place, cell in enumerate(row, 1) if cell)
        question, answer, link = (row[column] if 0 <= column < len(row) else "" for column in columns)
        if question:
            if unanswered:
                yield unanswered
            above, unanswered = question, None if answer else (number, "has no answer", width)
        if answer and above:
            unanswered = None  # a row below may have the answer
            yield number, Item(_without_html(above), _without_html(answer), _link(link)), width
        elif not question:
            yield number, "has no question", width
    if unanswered:
        yield unanswered


def _without_html(cell: str) -> str:
    """A cell's text: exports of shops and help desks have HTML in it."""
    if has_html(cell):
        return as_written(text_of_html(cell))
    return as_written(html.unescape(cell) if _ENTITY.search(cell) else cell)


def _stripped(row: Row) -> list[str]:
    return [cell.strip() for cell in row]


def _rejoined(row: Row, cells: int, delimiter: str) -> Row:
    """The row with its last column whole, where that has the delimiter in it and nobody put it in quotation marks."""
    return [*row[: cells - 1], delimiter.join(row[cells - 1 :]).rstrip(f" {delimiter}")] if any(row[cells:]) else row


def _columns(first: list[list[str]]) -> tuple[tuple[int, int, int], int]:
    """Where question, answer and link are (-1: nowhere), and how many of the first rows are their header or stand above it."""
    found = [tuple(_find(row, names) for names in (_QUESTION, _ANSWER, _LINK)) for row in first]
    for number, (question, answer, link) in enumerate(found, 1):
        if question >= 0 and answer >= 0:
            return (question, answer, link), number
    for number, row in enumerate(first, 1):
        question, answer = _find_word(row, _ASKS), _find_word(row, _ANSWERS)
        if question >= 0 and answer >= 0 and question != answer:
            return (question, answer, _find(row, _LINK)), number
    question, answer, link = found[0] if found else (-1, -1, -1)
    if question < 0 and answer < 0:
        place = _asking(first)
        return (place, place + 1, -1), 0
    other = next((place for place in range(len(first[0])) if place not in (question, answer, link)), -1)
    return (other if question < 0 else question, other if answer < 0 else answer, link), 1


def _asking(first: list[list[str]]) -> int:
    """The column of a table without headers that asks: the first, unless most cells of another one end with a question mark."""
    columns = range(min(map(len, first), default=0) - 1)
    asking = {place: sum(row[place].endswith(("?", "？", "؟")) for row in first) for place in columns}
    best = max(asking, key=asking.__getitem__, default=0)
    return best if len(first) > 1 and asking.get(best, 0) > len(first) / 2 else 0


def _find_word(row: Row, names: frozenset[str]) -> int:
    words = [[] if "?" in cell else _WORDS.findall(cell) for cell in row]
    return next(
        (place for place, some in enumerate(words) if len(some) <= _MOST_WORDS and any(_fold(word) in names for word in some)), -1
    )


def _find(row: Row, names: frozenset[str]) -> int:
    return next((place for place, cell in enumerate(row) if _fold(cell) in names), -1)


def _link(text: str) -> str | None:
    try:
        return normalize_url(text, allow_private=True) if text else None
    except UrlRefused:
        return None


def _warning(left_out: list[str], repeated: int) -> str | None:
    parts = []
    if left_out:
        more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        parts.append(f"left out: {', '.join(left_out[:NAMED])}{more}")
    if repeated:
        parts.append(f"repetitions left out: {repeated}")
    return "; ".join(parts) or None
