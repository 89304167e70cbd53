"""Word files as shops have them: what Word shows is read, in whatever it stands, and what it does not show is not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import docx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml

from shared.knowledge import readers
from shared.knowledge.documents import Raw

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RUN = "<w:r><w:t>{}</w:t></w:r>"


def items_of(fill: Callable[[Any], None]) -> list[tuple[str, str]]:
    word, file = docx.Document(), io.BytesIO()
    fill(word)
    word.save(file)
    return [(item.title, item.content) for item in readers.read(Raw("faq.docx", file.getvalue())).items]


def added(word: Any, xml: str, before: str = "", after: str = "") -> Any:
    """A paragraph with an element between two texts."""
    paragraph = word.add_paragraph(before)
    paragraph._p.append(parse_xml(xml.replace(">", f" {W}>", 1) if " xmlns:w=" not in xml else xml))
    paragraph.add_run(after)
    return paragraph


@pytest.mark.parametrize(
    ("xml", "shown"),
    [
        (f'<w:ins w:id="1" w:author="a">{RUN.format("three")}</w:ins>', "In three days."),
        ('<w:del w:id="1" w:author="a"><w:r><w:delText>two</w:delText></w:r></w:del>', "In  days."),
        (f'<w:moveTo w:id="1" w:author="a">{RUN.format("three")}</w:moveTo>', "In three days."),
        (f'<w:moveFrom w:id="1" w:author="a">{RUN.format("two")}</w:moveFrom>', "In  days."),
        (f"<w:sdt><w:sdtContent>{RUN.format('three')}</w:sdtContent></w:sdt>", "In three days."),
        (f'<w:smartTag w:element="x">{RUN.format("three")}</w:smartTag>', "In three days."),
        (f'<w:fldSimple w:instr="NUMPAGES">{RUN.format("three")}</w:fldSimple>', "In three days."),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>secret</w:t></w:r>", "In  days."),
        ("<w:r><w:rPr><w:strike/></w:rPr><w:t>two</w:t></w:r>", "In ~~two~~ days."),
        ("<w:r><w:rPr><w:dstrike/></w:rPr><w:t>two</w:t><w:tab/><w:t>or one</w:t></w:r>", "In ~~two\tor one~~ days."),
        ('<w:r><w:rPr><w:strike w:val="0"/></w:rPr><w:t>three</w:t></w:r>', "In three days."),
        (
            f"<w:r><w:ruby><w:rt>{RUN.format('sō')}</w:rt><w:rubyBase>{RUN.format('three')}</w:rubyBase></w:ruby></w:r>",
            "In three days.",
        ),
        ('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>three</w:t></w:r>', "In three days."),
    ],
)
def test_a_paragraph_is_what_word_shows(xml: str, shown: str) -> None:
    assert items_of(lambda word: added(word, xml, "In ", " days.")) == [("faq", shown)]


def test_what_is_struck_out_in_pieces_is_marked_once() -> None:
    def fill(word: Any) -> None:
        paragraph = word.add_paragraph("Price: ")
        for piece, is_struck in (("25", True), (" €", True), (" 19 €", False)):
            paragraph.add_run(piece).font.strike = is_struck

    assert items_of(fill) == [("faq", "Price: ~~25 €~~ 19 €")]


@pytest.mark.parametrize(
    "between",
    ['<w:proofErr w:type="spellStart"/>', '<w:bookmarkStart w:id="1" w:name="x"/>', "<w:r><w:lastRenderedPageBreak/></w:r>"],
)
def test_what_word_notes_within_what_is_struck_out_does_not_cut_it(between: str) -> None:
    struck = "<w:r><w:rPr><w:strike/></w:rPr><w:t>{}</w:t></w:r>"
    pieces = f"<w:ins>{struck.format('25')}{between}{struck.format(' €')}</w:ins>"
    assert items_of(lambda word: added(word, pieces, "Price: ", " 19 €")) == [("faq", "Price: ~~25 €~~ 19 €")]


def test_a_text_box_and_a_paragraph_in_a_control_are_there_once() -> None:
    box = "<w:txbxContent><w:p><w:r><w:t>In the box.</w:t></w:r></w:p></w:txbxContent>"
    boxed = (
        f'<w:r {W} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
        ' xmlns:v="urn:schemas-microsoft-com:vml">'
        f'<mc:AlternateContent><mc:Choice Requires="wps"><w:drawing>{box}</w:drawing></mc:Choice>'
        f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )

    def fill(word: Any) -> None:
        added(word, boxed, "Before it.")
        control = f"<w:sdt {W}><w:sdtContent><w:p>{RUN.format('Behind it.')}</w:p></w:sdtContent></w:sdt>"
        word.element.body.insert(-1, parse_xml(control))

    assert items_of(fill) == [("faq", "Before it.\n\nIn the box.\n\nBehind it.")]


def test_a_footnote_stands_where_it_belongs() -> None:
    def fill(word: Any) -> None:
        notes = f'<w:footnotes {W}><w:footnote w:id="2"><w:p>{RUN.format("Not on Sundays.")}</w:p></w:footnote></w:footnotes>'
        media = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
        part = Part(PackURI("/word/footnotes.xml"), media, notes.encode(), word.part.package)
        word.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
        added(word, '<w:r><w:footnoteReference w:id="2"/></w:r>', "We ship daily", " and free.")

    assert items_of(fill) == [("faq", "We ship daily (Not on Sundays.) and free.")]


def test_headings_by_outline_by_a_style_based_on_one_and_in_bold_type() -> None:
    def fill(word: Any) -> None:
        outlined = word.styles.add_style("Kapitel", 1)
        outlined.element.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {W} w:val="0"/>'))
        plain = word.styles.add_style("Plain", 1)
        plain.element.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {W} w:val="\u00b2"/>'))  # a digit, and no number
        word.styles.add_style("Abschnitt", 1).base_style = word.styles["Heading 2"]
        word.add_paragraph("Inhalt\t1", style=word.styles.add_style("toc 1", 1))
        word.add_paragraph("Versand", style="Kapitel")
        word.add_paragraph("Ausland", style="Abschnitt")
        word.add_paragraph("Wie lange?").runs[0].bold = True
        word.add_paragraph("Zehn ", "Plain").add_run("Tage").bold = True
        word.add_paragraph("Alles fett, und nichts dahinter.").runs[0].bold = True

    assert items_of(fill) == [
        ("faq › Versand › Ausland › Wie lange?", "Zehn Tage\n\nAlles fett, und nichts dahinter."),
    ]


def test_questions_in_a_table_and_in_paragraphs() -> None:
    def in_table(word: Any) -> None:
        table = word.add_table(3, 2)
        for row, texts in enumerate((("Frage", "Antwort"), ("Wann?", "Morgen."), ("Wo?", "Hier."))):
            for column, text in enumerate(texts):
                table.cell(row, column).text = text

    def followed(word: Any) -> None:
        in_table(word)
        word.add_paragraph("Das war alles.")

    def in_paragraphs(word: Any) -> None:
        for text in ("Q: When?", "A: Tomorrow.", "Q: Where?", "A: Here."):
            word.add_paragraph(text)

    assert items_of(in_table) == [("faq › Wann?", "Morgen."), ("faq › Wo?", "Hier.")]
    assert items_of(followed) == [("faq", "| Frage | Antwort |\n| Wann? | Morgen. |\n| Wo? | Hier. |\n\nDas war alles.")]
    assert items_of(in_paragraphs) == [("faq › When?", "Tomorrow."), ("faq › Where?", "Here.")]


def test_lists_within_lists_and_tables_within_tables() -> None:
    def fill(word: Any) -> None:
        word.add_paragraph("Karte", style="List Bullet")
        word.add_paragraph("Visa", style="List Bullet 2")
        table = word.add_table(1, 2)
        table.cell(0, 0).text = "Außen"
        table.cell(0, 1).add_table(1, 2).cell(0, 0).text = "Innen"

    assert items_of(fill) == [("faq", "- Karte\n  - Visa\n\n| Außen | | Innen | | |")]


def test_a_table_of_several_rows_within_a_cell_stays_in_its_line() -> None:
    def fill(word: Any) -> None:
        table = word.add_table(2, 2)
        table.cell(0, 0).text, table.cell(0, 1).text, table.cell(1, 0).text = "Leistung", "Preis", "Schnitt"
        inner = table.cell(1, 1).add_table(2, 2)
        for place, text in enumerate(("Damen", "45 €", "Herren", "25 €")):
            inner.cell(*divmod(place, 2)).text = text

    assert items_of(fill) == [("faq", "| Leistung | Preis |\n| Schnitt | Damen: 45 €; Herren: 25 € |")]


@pytest.mark.parametrize("columns", [1, 2])
def test_a_table_that_only_frames_parts_of_a_page_is_none(columns: int) -> None:
    def fill(word: Any) -> None:
        frame = word.add_table(1, columns)
        cell = frame.cell(0, 0)
        cell.text = "Unsere Fragen"
        inner = cell.add_table(3, 2)
        for place, text in enumerate(("Frage", "Antwort", "Wann?", "Morgen.", "Wo?", "Hier.")):
            inner.cell(*divmod(place, 2)).text = text
        for text in ("Kontakt", "Telefon 1", "Mail a@b.example") if columns > 1 else ():
            frame.cell(0, 1).add_paragraph(text, style="Heading 1" if text == "Kontakt" else None)

    questions = [("faq", "Unsere Fragen"), ("faq › Wann?", "Morgen."), ("faq › Wo?", "Hier.")]
    assert items_of(fill) == questions + ([("faq › Kontakt", "Telefon 1\n\nMail a@b.example")] if columns > 1 else [])


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("AGB 2026", "AGB 2026"),
        ("Word-Dokument", "faq"),
        ("Microsoft Word - agb.doc", "faq"),
        ("Untitled", "faq"),
        ("Dokument1", "faq"),
    ],
)
def test_a_title_that_a_program_wrote_is_none(title: str, shown: str) -> None:
    def fill(word: Any) -> None:
        word.core_properties.title = title
        word.add_paragraph("Text.")

    assert items_of(fill) == [(shown, "Text.")]


def test_a_paragraph_that_is_marked_as_the_title_is_it() -> None:
    def fill(word: Any) -> None:
        word.core_properties.title = "Vorlage der Firma"
        word.add_heading("Häufige Fragen", 0)
        word.add_heading("Versand", 1)
        word.add_paragraph("Zwei Tage.")

    assert items_of(fill) == [("Häufige Fragen › Versand", "Zwei Tage.")]
