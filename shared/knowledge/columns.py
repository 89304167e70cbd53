"""Which columns of a table hold questions and answers, by their headers; and what the rows of any other table are about."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from shared.knowledge.split import HEADING
from shared.knowledge.weekdays import is_of_days

Row = Sequence[str]


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
#: What products, services, shops and sizes are called by; parts of what their prices are called, and whole words.
_NAMES = _folded(
    "name product produkt produktname productname artikel artikelname article item title titel titre titolo título bezeichnung"
    " service leistung dienstleistung behandlung nombre nom nome prodotto producto produit produto model modell modelo modèle"
    " size größe taille talla taglia store shop laden filiale standort kurs course zimmer room gericht plan tarif"
    " treatment itemname dish plat plato piatto"
)
#: The same of days, where the column has such: a shop may mean a label by "Tag".
_DAY_NAMES = _folded("day weekday tag wochentag jour día giorno")
_PRICES = _folded("preis price prix precio prezzo preço prijs cena цена 価格 价格 가격 מחיר سعر fiyat")
#: By what programs know a thing, and nobody who asks for it.
_KEYS = _folded("id token sku handle handleid nr no code key ean gtin barcode artnr artikelnr artikelnummer produktnummer uuid")
#: Whether a row is for customers: headers, and cells that say that it is not.
_STATUS = _folded(
    "status state published active visible enabled veröffentlicht aktiv sichtbar estado publicado activo statut publié actif"
    " stato pubblicato attivo visibility sichtbarkeit visibilité visibilidad visibilità"
    " visibilityincatalog sichtbarkeitimkatalog"
)
#: The same of articles; of a course it is what customers ask.
_READERS = _folded("audience")
_NOT_SHOWN = _folded(
    "draft unpublished archived hidden inactive disabled deleted private internal agents false no off 0 entwurf archiviert"
    " unveröffentlicht versteckt inaktiv deaktiviert gelöscht privat intern falsch nein aus brouillon borrador bozza rascunho"
    " concept"
)
#: Columns of other tables that are nobody's business but the shop's.
_INTERNAL = re.compile(
    r"\b(intern\w*|einkaufs\w*|ek|cost per item|purchase|wholesale|marge|margin|lieferant\w*|supplier\w*)\b"
    r"|^(tax (status|class)|is featured|backorders|sold individually|low stock|allow customer reviews|meta:)"
    r"|^(steuer(status|klasse)|ist hervorgehoben|lieferrückstände|geringer lagerbestand|kundenrezensionen)",
    re.I,
)
#: Words of a header that has more of them: Frage (DE), FAQ question, Frage/Question, question_en.
_WORDS, _MOST_WORDS = re.compile(r"[^\W_]+"), 4
#: Filled rows among which the header is: a title, a date and notes may stand above it.
HEADER_WITHIN = 20
#: Characters of a header of another table.
_LONGEST = 120
#: A sentence; "Art.-Nr." is none.
_NO_HEADER = re.compile(r"[?!？؟。]$|\s\S+\s.*\.$")
#: A number, with a unit or without one.
_NUMBER = re.compile(r"\D{0,4}\d[\d.,'\u2019 \u00a0]{0,20}\s?\D{0,4}")
#: What stands below a header in a column of times or of marks.
_TIME = re.compile(r"\d{1,2}([:.]\d\d)?\s?(am|pm|h|uhr)?(\s?[-–]\s?\d{1,2}([:.]\d\d)?\s?(am|pm|h|uhr)?)?", re.I)
_MARKS = frozenset({"x", "✓", "✔", "✗", "-", "–", "—", "yes", "no", "y", "n", "ja", "nein", "j", "oui", "non", "sí", "si", "sì"})


@dataclass(frozen=True)
class Layout:
    """Where a table has what; -1: nowhere."""

    #: Columns of questions and of their answers: in two languages there are two of each.
    pairs: tuple[tuple[int, int], ...]
    link: int = -1
    #: Columns that say whether a row is for customers.
    status: tuple[int, ...] = ()
    #: Rows down to the header, which are no items.
    header: int = 0
    #: Of a table of other things: the names of its columns. The only pair's first is the column that names a thing.
    names: Row = ()
    #: Further columns that belong to the answer.
    more: tuple[int, ...] = ()
    #: Whether its rows are things or days, and none of them a question.
    is_list: bool = False


def layout_of(first: list[list[str]]) -> Layout:
    """How a table is laid out, by its first filled rows, whose cells are stripped."""
    for number, row in enumerate(first, 1):
        pairs = _pairs(row)
        if pairs and not (_find(row, _ASKS) < 0 and _has_price(row)):
            return Layout(pairs, _find(row, _LINK), _all(row, _STATUS | _READERS), number, more=_more(row, pairs))
    for number, row in enumerate(first, 1):
        if _names_things(row, first[number:]):
            name = _naming(row, first[number:])
            return Layout(((name, -1),), _find(row, _LINK), _all(row, _STATUS), number, row, is_list=True)
    return _of_days(first) or _by_one_header(first)


def _of_days(first: list[list[str]]) -> Layout | None:
    """A table whose first column says days. Above them there may be what the table is called, and a header."""
    for number in range(min(len(first) - 1, 3)):
        above, below = first[:number], first[number:]
        if all(is_of_days(row[0]) for row in below if row[0]) and is_of_days(below[0][0]):
            names = above[-1] if above and len(list(filter(None, above[-1]))) > 1 else []
            more = tuple(range(2, max(map(len, below))))
            return Layout(((0, -1 if names else 1),), header=number, names=names, more=more, is_list=True)
    return None


def _more(row: Row, pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Columns of texts beside the answer, where nothing says which of them is it: a help desk's description and body."""
    ((question, answer), *others) = pairs
    if others or _fold(row[answer]) in _ANSWERS:
        return ()
    return tuple(place for place, cell in enumerate(row) if _fold(cell) in _ANSWER and place not in (question, answer))


def _pairs(row: Row) -> tuple[tuple[int, int], ...]:
    """The columns of questions and answers by a row that may be the header."""
    answers = _with_word(row, _ANSWERS)
    questions = [place for place in _with_word(row, _ASKS) if place not in answers]
    if len(questions) == len(answers) > 1:
        return tuple(zip(questions, answers, strict=True))
    exact = _first(row, _ASKS, _QUESTION), _first(row, _ANSWERS, _ANSWER)
    if min(exact) >= 0:
        return (exact,)
    question, answer = next(iter(_with_word(row, _ASKS)), -1), next(iter(answers), -1)
    return ((question, answer),) if min(question, answer) >= 0 and question != answer else ()


def _by_one_header(first: list[list[str]]) -> Layout:
    """A table of which one header is known, or none."""
    row = first[0] if first else []
    question, answer, link = _first(row, _ASKS, _QUESTION), _first(row, _ANSWERS, _ANSWER), _find(row, _LINK)
    if question < 0 and answer < 0:
        return _without_header(first)
    if answer < 0 and _find(row, _ASKS) < 0 and sum(map(bool, row)) > 2:
        return Layout(((question, -1),), link, _all(row, _STATUS), 1, row, is_list=True)
    other = next((place for place in range(len(row)) if place not in (question, answer, link)), -1)
    return Layout(((other if question < 0 else question, other if answer < 0 else answer),), link, _all(row, _STATUS), 1)


def _without_header(first: list[list[str]]) -> Layout:
    """A table without headers: the column that asks and the one behind it, or what the first one names and all that follows."""
    columns = range(min(map(len, first), default=0) - 1)
    asking = {place: sum(row[place].endswith(("?", "？", "؟")) for row in first) for place in columns}
    best = max(asking, key=asking.__getitem__, default=0)
    if asking.get(best, 0) > len(first) / 2:
        place = best if len(first) > 1 else 0
        return Layout(((place, place + 1),))
    more = tuple(range(2, max(map(len, first), default=0)))
    return Layout(((0, 1),), more=more, is_list=bool(more))


def _names_things(row: Row, below: Sequence[Row]) -> bool:
    """Whether a row is the header of a table of products, prices, sizes, shops or the like."""
    filled = [cell for cell in row if cell]
    width = max((len([cell for cell in one if cell]) for one in below), default=0)
    if len(filled) < 2 or len(filled) < width - 1 or len(set(filled)) < len(filled) or _find(row, _ASKS | _ANSWERS) >= 0:
        return False
    if _has_price(row) and min(_find(row, _NAMES), _find(row, _STATUS)) >= 0:
        return True  # an export of a shop, some of whose headers are questions: "In stock?"
    if any(len(cell) > _LONGEST or _NO_HEADER.search(cell) or _NUMBER.fullmatch(cell) for cell in filled) or is_of_days(row[0]):
        return False
    has_corner = not row[0] and all(one[0] for one in below if one)
    if _has_price(row) or has_corner or (len(filled) > 2 and _find(row, _NAMES | _DAY_NAMES) >= 0):
        return True
    if len(filled) == width > 2 and not any(map(_is_value, row)) and any(_has_values(one, below) for one in range(1, len(row))):
        return True
    return any(_all_numbers(place, below) for place in range(1, len(row))) and (len(filled) > 2 or len(below) > 2)


def _cells(place: int, below: Sequence[Row]) -> list[str]:
    """What a column has."""
    return [row[place] for row in below if place < len(row) and row[place]]


def _has_values(place: int, below: Sequence[Row]) -> bool:
    """Whether half of the cells of a column are times or marks."""
    cells = _cells(place, below)
    return len(cells) > 1 and 2 * sum(map(_is_value, cells)) >= len(cells)


def _is_value(cell: str) -> bool:
    return cell.lower() in _MARKS or bool(_TIME.fullmatch(cell))


def _all_numbers(place: int, below: Sequence[Row]) -> bool:
    cells = _cells(place, below)
    return len(cells) > 1 and all(map(_NUMBER.fullmatch, cells))


def _all_days(place: int, below: Sequence[Row]) -> bool:
    cells = _cells(place, below)
    return bool(cells) and all(map(is_of_days, cells))


def _naming(row: Row, below: Sequence[Row]) -> int:
    """The column that names a thing: by its header, or the first one that is neither of numbers nor of keys."""
    for place, cell in enumerate(row):
        if _fold(cell) in _NAMES or (_fold(cell) in _DAY_NAMES and _all_days(place, below)):
            return place
    texts = [place for place in range(len(row)) if not _all_numbers(place, below)]
    return next((place for place in texts if _fold(row[place]) not in _KEYS), texts[0] if texts else 0)


def described(layout: Layout, row: Row) -> str:
    """What a row of a table of things says, beside the thing's name: a line for each column."""
    skipped = {layout.pairs[0][0], layout.link, *layout.status}
    if _has_price(layout.names):  # beside which a cost is what the shop pays
        skipped.add(_find(layout.names, frozenset({"cost"})))
    cells = [(name, cell) for place, (name, cell) in enumerate(zip(layout.names, row, strict=False)) if place not in skipped]
    return "\n".join(f"{name}: {cell}" for name, cell in cells if name and _is_told(name, cell))


def _is_told(name: str, cell: str) -> bool:
    is_picture = re.fullmatch(r"https?://\S+\.(jpe?g|png|webp|gif|svg)(\?\S*)?", cell, re.I)
    return bool(cell) and not is_picture and cell.upper() not in ("TRUE", "FALSE") and not _INTERNAL.search(name)


def is_shown(layout: Layout, row: Row) -> bool:
    """Whether a row is for customers: it is no draft, and not archived."""
    cells = [row[place] for place in layout.status if place < len(row)]
    return not any(cell == "-1" or _fold(cell) in _NOT_SHOWN for cell in cells)  # WooCommerce's drafts are -1


def sections_of(rows: list[tuple[int, list[str]]], layout: Layout) -> dict[int, str]:
    """Rows of one cell that stand above others in a list of things: STARTERS, above what there is to begin with."""
    found: dict[int, str] = {}
    name, follows_thing = layout.pairs[0][0], False
    for number, row in reversed(rows if layout.is_list else []):
        cells = [cell for cell in row if cell]
        is_first = any(row[place : place + 1] == cells for place in (0, name))
        if len(cells) > 1:
            follows_thing = any(row[name : name + 1])  # sizes of the thing above have no name
        elif follows_thing and is_first and len(cells[0]) <= HEADING and cells[0][-1] not in ".!?":
            found[number] = cells[0]
    # Who writes them begins with one. Elsewhere, and beside one column only, it may as well be a thing without a price.
    are_all = bool(rows) and rows[0][0] in found and len(layout.names) != 2
    return {number: cell.rstrip(":") for number, cell in found.items() if are_all or cell.isupper() or cell.endswith(":")}


def _has_price(row: Row) -> bool:
    return any(price in cell for cell in map(_fold, row) for price in _PRICES)


def _with_word(row: Row, names: frozenset[str]) -> list[int]:
    words = [[] if "?" in cell else _WORDS.findall(cell) for cell in row]
    return [place for place, some in enumerate(words) if len(some) <= _MOST_WORDS and any(_fold(word) in names for word in some)]


def _first(row: Row, surely: frozenset[str], maybe: frozenset[str]) -> int:
    """The column of one of the first names, else of one of the others: a topic is what is asked only where no question is."""
    place = _find(row, surely)
    return place if place >= 0 else _find(row, maybe)


def _all(row: Row, names: frozenset[str]) -> tuple[int, ...]:
    return tuple(place for place, cell in enumerate(row) if _fold(cell) in names)


def _find(row: Row, names: frozenset[str]) -> int:
    return next((place for place, cell in enumerate(row) if _fold(cell) in names), -1)
