"""Which columns of a table hold questions and answers, by their headers; and what the rows of any other table are about."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.knowledge import private_columns
from shared.knowledge.weekdays import is_of_days, is_week

Row = Sequence[str]


def fold(header: str) -> str:
    letters = unicodedata.normalize("NFKD", header.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def folded(words: str) -> frozenset[str]:
    return frozenset(map(fold, words.split()))


#: Headers, by what they say: without accents, in lower case. These say by themselves which column it is, also among other words.
_ASKS = folded(
    "question questions q frage fragen kundenfrage pregunta preguntas pergunta perguntas domanda domande vraag vragen faq"
    " 質問 问题 問題 提问 提問 질문 Вопрос Вопросы Питання Pitanje Въпрос Soru Sorular Pytanie السؤال سؤال שאלה Spørgsmål"
    " Spørsmål Fråga Kysymys Otázka Întrebare Kérdés Ερώτηση คำถาม Câuhỏi Pertanyaan Soalan प्रश्न सवाल"
)
_ANSWERS = folded(
    "answer answers a antwort antworten respuesta respuestas resposta respostas réponse réponses risposta risposte antwoord"
    " antwoorden 回答 答え 答案 解答 答复 答覆 답변 대답 Ответ Ответы Відповідь Odgovor Отговор Cevap Yanıt Odpowiedź الجواب"
    " جواب إجابة الإجابة"
    " תשובה Svar Vastaus Odpověď Odpoveď Răspuns Válasz Απάντηση คำตอบ Trảlời Jawaban Jawapan उत्तर जवाब"
)
_QUESTION = _ASKS | folded(
    "title topic subject heading prompt titel thema betreff título tema asunto assunto titre sujet titolo argomento onderwerp"
)
_ANSWER = _ANSWERS | folded(
    "content text body reply response completion description inhalt beschreibung contenido texto descripción conteúdo descrição"
    " contenu texte contenuto testo inhoud tekst"
)
_LINK = folded("url link source quelle enlace lien collegamento")
#: What products, services, shops and sizes are called by; parts of what their prices are called, and whole words.
_NAMES = folded(
    "name product produkt produktname productname artikel artikelname article item title titel titre titolo título bezeichnung"
    " service leistung dienstleistung behandlung nombre nom nome prodotto producto produit produto model modell modelo modèle"
    " size größe taille talla taglia store shop laden filiale standort kurs course zimmer room gericht plan tarif"
    " treatment itemname dish plat plato piatto"
)
#: The same of people, some of whom are called as days are in short: Sam, Di, Mo.
PEOPLE = folded("name vorname firstname staff employee mitarbeiter mitarbeiterin team prénom nombre nome naam trainer stylist")
#: The same of days, where the column has such: a shop may mean a label by "Tag".
_DAY_NAMES = folded("day weekday tag wochentag jour día giorno")
_PRICES = folded("preis price prix precio prezzo preço prijs cena цена 価格 价格 가격 מחיר سعر fiyat")
#: By what programs know a thing, and nobody who asks for it.
_KEYS = folded("id token sku handle handleid nr no code key ean gtin barcode artnr artikelnr artikelnummer produktnummer uuid")
#: Whether a row is for customers: headers, and cells that say that it is not.
_STATUS = folded(
    "status state published active visible enabled veröffentlicht aktiv sichtbar estado publicado activo statut publié actif"
    " stato pubblicato attivo visibility sichtbarkeit visibilité visibilidad visibilità"
    " visibilityincatalog sichtbarkeitimkatalog"
)
#: The same of articles; of a course it is what customers ask.
_READERS = folded("audience")
#: Words of a header that has more of them: Frage (DE), FAQ question, Frage/Question, question_en.
_WORDS, _MOST_WORDS = re.compile(r"[^\W_]+"), 4
#: Filled rows among which the header is: a title, a date and notes may stand above it.
HEADER_WITHIN = 20
#: Characters of a header of another table.
_LONGEST = 120
#: A sentence; "Art.-Nr." is none.
_NO_HEADER = re.compile(r"[?!？؟。]$|\s\S+\s.*\.$")
#: What is said of a price, and no header of things says: "Price on request".
_NO_HEADING = re.compile(
    r"\b(on (request|application|demand)|upon request|by arrangement|varies|negotiable|tb[ad]|of your choice"
    r"|(auf|nach) (anfrage|absprache|vereinbarung|aufwand|wahl)|frei wählbar|verhandelbar|sur (demande|devis)|a consultar"
    r"|bajo (petición|pedido|consulta)|su richiesta|da concordare|op aanvraag|sob consulta|na zapytanie|по запросу)[.!]?$",
    re.I,
)
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
    #: Of a table of other things: columns that are the shop's own business.
    private: frozenset[int] = frozenset()


def layout_of(first: list[list[str]]) -> Layout:
    """How a table is laid out, by its first filled rows, whose cells are stripped."""
    layout = _laid_out(first)
    prices = [place for place, name in enumerate(layout.names) if _has_price([name])]
    return replace(layout, private=private_columns.of_shop(layout.names, first[layout.header :], prices))


def _laid_out(first: list[list[str]]) -> Layout:
    for number, row in enumerate(first, 1):
        pairs = _pairs(row)
        if pairs and not (_find(row, _ASKS) < 0 and _has_price(row)):
            return Layout(pairs, _find(row, _LINK), _all(row, _STATUS | _READERS), number, more=_more(row, pairs))
    for number, row in enumerate(first, 1):
        if _names_things(row, first[number:]) and (first[number:] or number in (1, HEADER_WITHIN)):
            name = _naming(row, first[number:])
            return Layout(((name, -1),), _find(row, _LINK), _all(row, _STATUS), number, row, is_list=True)
    return _of_days(first) or _by_one_header(first)


def _of_days(first: list[list[str]]) -> Layout | None:
    """A table whose first column says days. Above them there may be what the table is called, and a header."""
    for number in range(min(len(first) - 1, 3)):
        above, below = first[:number], first[number:]
        if any(is_of_days(row[0]) for row in above) or not is_of_days(below[0][0]):
            continue
        if is_week([row[0] for row in below if row[0]], (cell for row in below for cell in row[1:])):
            names = above[-1] if above and len(list(filter(None, above[-1]))) > 1 else []
            more = tuple(range(2, max(map(len, below))))
            return Layout(((0, -1 if names else 1),), header=number, names=names, more=more, is_list=True)
    return None


def _more(row: Row, pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Columns of texts beside the answer, where nothing says which of them is it: a help desk's description and body."""
    ((question, answer), *others) = pairs
    if others or fold(row[answer]) in _ANSWERS:
        return ()
    return tuple(place for place, cell in enumerate(row) if fold(cell) in _ANSWER and place not in (question, answer))


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
    if _find(row, _NAMES | PEOPLE | _DAY_NAMES) < 0 and any(_says_price(place, row, below) for place in range(len(row))):
        return False
    width = max((len([cell for cell in one if cell]) for one in below), default=0)
    if len(filled) < 2 or len(filled) < width - 1 or len(set(filled)) < len(filled) or _find(row, _ASKS | _ANSWERS) >= 0:
        return False
    if _has_price(row) and min(_find(row, _NAMES), _find(row, _STATUS)) >= 0:
        return True  # an export of a shop, some of whose headers are questions: "In stock?"
    if any(len(cell) > _LONGEST or _NO_HEADER.search(cell) or _NUMBER.fullmatch(cell) for cell in filled) or is_of_days(row[0]):
        return False
    has_corner = not row[0] and all(one[0] for one in below if one)
    if _has_price(row) or has_corner or (len(filled) > 2 and _find(row, _NAMES | PEOPLE | _DAY_NAMES) >= 0):
        return True
    if len(filled) == width > 2 and not any(map(_is_value, row)) and any(_has_values(one, below) for one in range(1, len(row))):
        return True
    return any(_all_numbers(place, below) for place in range(1, len(row))) and (len(filled) > 2 or len(below) > 2)


def _says_price(place: int, row: Row, below: Sequence[Row]) -> bool:
    """Whether a cell says a price, and is no header: "Price on request", or "Price: 25 €" above others of the kind."""
    if fold(row[place]) in _PRICES or not _has_price([row[place]]):
        return False
    cells = _cells(place, below)
    return bool(_NO_HEADING.search(row[place])) or 2 * sum(_has_price([cell]) for cell in cells) > len(cells)


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
    return is_week(_cells(place, below), (cell for row in below for cell in [*row[:place], *row[place + 1 :]]))


def _naming(row: Row, below: Sequence[Row]) -> int:
    """The column that names a thing: by its header, or the first one that is neither of numbers nor of keys."""
    for place, cell in enumerate(row):
        if fold(cell) in _NAMES or (fold(cell) in _DAY_NAMES and _all_days(place, below)):
            return place
    texts = [place for place in range(len(row)) if not _all_numbers(place, below)]
    return next((place for place in texts if fold(row[place]) not in _KEYS), texts[0] if texts else 0)


def _has_price(row: Row) -> bool:
    return any(price in cell for cell in map(fold, row) for price in _PRICES)


def _with_word(row: Row, names: frozenset[str]) -> list[int]:
    words = [[] if "?" in cell else _WORDS.findall(cell) for cell in row]
    return [place for place, some in enumerate(words) if len(some) <= _MOST_WORDS and any(fold(word) in names for word in some)]


def _first(row: Row, surely: frozenset[str], maybe: frozenset[str]) -> int:
    """The column of one of the first names, else of one of the others: a topic is what is asked only where no question is."""
    place = _find(row, surely)
    return place if place >= 0 else _find(row, maybe)


def _all(row: Row, names: frozenset[str]) -> tuple[int, ...]:
    return tuple(place for place, cell in enumerate(row) if fold(cell) in names)


def _find(row: Row, names: frozenset[str]) -> int:
    return next((place for place, cell in enumerate(row) if fold(cell) in names), -1)
