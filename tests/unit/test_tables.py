"""Tables as shops have them: of questions, products and prices, with broken quotation marks, drafts and hidden rows."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font

from shared.knowledge import readers, tables
from shared.knowledge.documents import Document, Raw


def read(name: str, body: bytes | str) -> Document:
    return readers.read(Raw(name, body.encode() if isinstance(body, str) else body))


def pairs(document: Document) -> list[tuple[str, str]]:
    return [(item.title, item.content) for item in document.items]


def xlsx(fill: Callable[[Any], None]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    fill(book.active)
    book.save(file)
    return file.getvalue()


REST = [(f"Q{number}?", f"A{number}.") for number in range(200)]
REST_LINES = "".join(f"{question},{answer}\n" for question, answer in REST)


@pytest.mark.parametrize("rest", [REST_LINES, REST_LINES + 'Last?,"It is quoted."\n'])
def test_a_quotation_mark_that_is_not_closed_costs_no_other_row(rest: str) -> None:
    document = read("faq.csv", f'question,answer\nTwo?,"Lines,\nor more."\nOpen?,"In two days.\n{rest}')
    assert pairs(document)[:2] == [("Two?", "Lines,\nor more."), ("Open?", "In two days.")]
    assert pairs(document)[2:202] == REST
    assert document.warning == "a quotation mark is not closed in row 3"


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ('"The 24" monitor, in black."', 'The 24" monitor, in black.'),
        ('"Say \\"hi\\", please."', 'Say "hi", please.'),
        ('"Say ""hi"", please." ', 'Say "hi", please.'),
    ],
)
def test_quotation_marks_within_a_cell(row: str, answer: str) -> None:
    document = read("faq.csv", f'question,answer\nWhich?,{row}\nOdd?,The 24" one\nWhere?,"Here, or there."\n')
    assert pairs(document) == [("Which?", answer), ("Odd?", 'The 24" one'), ("Where?", "Here, or there.")]
    assert document.warning is None


def test_no_quantifier_of_a_group_is_possessive(root: Path) -> None:
    """Python before 3.11.5, which Debian 12 has, matches them wrongly (CPython issue 106052), and atomic groups rightly."""
    sources = [path for room in ("shared", "workers", "web") for path in (root / room).rglob("*.py")]
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if re.search(r"\)(?:[*+?]|\{[\d,]+\})\+", line)]


def test_a_line_full_of_open_quotation_marks_is_cut_at_its_delimiters() -> None:
    document = read("faq.csv", 'question,answer\nWhen?,Soon.\n"a"b,' + ',"x' * tables.MAX_LINE)
    assert pairs(document)[0] == ("When?", "Soon.")
    assert (document.warning or "").startswith("a quotation mark is not closed in row 3")


def test_a_header_below_many_other_rows_and_again_above_each_section() -> None:
    above = "FAQ;;\nStand 2026;;\nAutor: Max;;\nVersion;3;\nIntern;;\nBitte lesen;;\n"
    text = f"{above}Nr;Frage;Antwort\n1;Wann?;Morgen\nNr;Frage;Antwort\n2;Wo?;Hier\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier")]


def test_a_question_goes_before_a_topic() -> None:
    text = "Thema;Frage;Text;Antwort\nVersand;Wann?;x;Morgen\n;Wo?;y;Hier\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier")]


def test_two_languages_side_by_side() -> None:
    text = "Frage (DE);Antwort (DE);Question (EN);Answer (EN)\nWann?;Morgen;When?;Tomorrow\nWo?;Hier;;\n"
    assert pairs(read("faq.csv", text)) == [("Wann?", "Morgen"), ("Wo?", "Hier"), ("When?", "Tomorrow")]


THINGS = [
    ("SKU,Name,Preis,Beschreibung\nA1,Kanne,29.90,Aus Ton.\n", "Kanne", "SKU: A1\nPreis: 29.90\nBeschreibung: Aus Ton."),
    ("Produkt;Preis\nKanne;29,90 €\n", "Kanne", "Preis: 29,90 €"),
    ("Größe;Brust (cm);Taille (cm)\nS;88;72\nM;96;80\n", "S", "Brust (cm): 88\nTaille (cm): 72"),
    (";Mo;Di;Mi\nLaden Mitte;9-18;9-18;zu\n", "Laden Mitte", "Mo: 9-18\nDi: 9-18\nMi: zu"),
    ("Titel;Beschreibung;Verkaufspreis\nKanne;Aus Ton.;29,90\n", "Kanne", "Beschreibung: Aus Ton.\nVerkaufspreis: 29,90"),
    ("Preisliste;;\nStand Mai;;\nNr.;Leistung;Dauer\n1;Schnitt;30 min\n", "Schnitt", "Nr.: 1\nDauer: 30 min"),
]


@pytest.mark.parametrize(("text", "title", "content"), THINGS)
def test_of_a_table_of_other_things_all_columns_count(text: str, title: str, content: str) -> None:
    assert pairs(read("list.csv", text))[0] == (title, content)


def test_an_export_of_a_shop() -> None:
    text = (
        "Handle,Title,Body (HTML),Published,Option1 Value,Variant Price,Cost per item,Image Src,Status\n"
        'teapot,Tea pot,"<p>Of <b>clay</b>.</p>",TRUE,L,29.90,7.10,https://cdn.example/a.jpg?v=1,active\n'
        "teapot,,,,S,19.90,5.00,,\n"
        "cup,Cup,Old,TRUE,,9.90,2.00,,archived\n"
    )
    document = read("products.csv", text)
    assert pairs(document) == [
        ("Tea pot", "Handle: teapot\nBody (HTML): Of clay.\n\nOption1 Value: L\nVariant Price: 29.90"),
        ("Tea pot", "Handle: teapot\nOption1 Value: S\nVariant Price: 19.90"),
    ]
    assert document.warning == "left out: row 4 is marked as not public"


@pytest.mark.parametrize("header", ["Status", "status", "Published", "Veröffentlicht"])
@pytest.mark.parametrize("mark", ["draft", "FALSE", "Entwurf", "nein"])
def test_what_is_not_public_yet_is_no_answer(header: str, mark: str) -> None:
    document = read("faq.csv", f"question,answer,{header}\nWhen?,Soon.,yes\nHow?,By mail.,{mark}\n")
    assert pairs(document) == [("When?", "Soon.")]
    assert document.warning == "left out: row 3 is marked as not public"


def test_what_excel_hides_is_not_told() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Answer", "Question", "Answer"], ["secret", "A?", "one"], ["secret", "B?", "two"], ["x", "C?", "three"]):
            sheet.append(row)
        sheet.column_dimensions["A"].hidden = True
        sheet.row_dimensions[3].hidden = True

    document = read("faq.xlsx", xlsx(fill))
    assert pairs(document) == [("A?", "one"), ("C?", "three")]
    assert document.warning == "left out: row 3 is hidden"


def test_what_excel_strikes_out_does_not_look_as_if_it_held() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Tea", "Old price", "Price"], ["Green", 25, 19]):
            sheet.append(row)
        sheet["B2"].font = Font(strike=True)

    assert pairs(read("teas.xlsx", xlsx(fill))) == [("Green", "Old price: ~~25~~\nPrice: 19")]


def test_cells_of_excel_are_as_it_shows_them() -> None:
    def fill(sheet: Any) -> None:
        for row in (["Laden", "PLZ", "ab", "Fehler", "Summe"], ["Mitte", 1067, time(9, 30), "#REF!", "=1+1"]):
            sheet.append(row)
        sheet["B2"].number_format = "00000"
        sheet["D2"].data_type = "e"

    document = read("shops.xlsx", xlsx(fill))
    assert pairs(document) == [("Mitte", "PLZ: 01067\nab: 09:30\nSumme: =1+1")]
    assert document.warning == "formulas without their results (open it in Excel and save it): row 2"
