"""PDFs as shops have them: headings in large or bold type, headers and footers on each page, sentences over two pages."""

from __future__ import annotations

import io

import pypdf
import pytest
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from shared.knowledge import pdf, readers
from shared.knowledge.documents import Document, Raw

Typed = tuple[str, int] | tuple[str, int, str]


def made(*pages: list[Typed], title: str = "", owner_password: str = "", turned: int = 0) -> bytes:
    """A PDF of lines: each its text, the size of its type, and "bold" for that."""
    writer = pypdf.PdfWriter()
    fonts = DictionaryObject()
    for name, font in (("regular", "/Helvetica"), ("bold", "/Helvetica-Bold")):
        about = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": font}
        fonts[NameObject(f"/{name}")] = DictionaryObject({NameObject(key): NameObject(value) for key, value in about.items()})
    for lines in pages:
        page, stream = writer.add_blank_page(600, 800), StreamObject()
        drawn = "".join(f"/{(*line, 'regular')[2]} {line[1]} Tf ({line[0]}) Tj T* " for line in lines)
        stream.set_data(f"BT 40 TL 20 760 Td {drawn}ET".encode("latin-1"))
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page[NameObject("/Contents")] = writer._add_object(stream)
        page.rotate(turned)
    if title:
        writer.add_metadata({"/Title": title})
    if owner_password:
        writer.encrypt("", owner_password)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def read(body: bytes) -> Document:
    return readers.read(Raw("terms.pdf", body))


def pairs(body: bytes) -> list[tuple[str, str]]:
    return [(item.title, item.content) for item in read(body).items]


LONG = "We ship each order from our warehouse within two working days"
PAGE: list[Typed] = [("Shipping", 18), (LONG, 10), ("Where to?", 10, "bold"), ("To all of Austria.", 10), (LONG, 10)]


@pytest.mark.parametrize("turned", [0, 90, 180])
def test_lines_in_large_and_in_bold_type_are_headings(turned: int) -> None:
    assert pairs(made(PAGE, turned=turned)) == [
        ("terms › Shipping", LONG),
        ("terms › Shipping › Where to?", f"To all of Austria.\n{LONG}"),
    ]


def test_a_heading_of_two_lines_is_one() -> None:
    assert pairs(made([("Shipping and", 18), ("returns", 18), (LONG, 10)])) == [("terms › Shipping and returns", LONG)]


def test_a_flyer_whose_type_is_mostly_large_has_no_headings() -> None:
    flyer: list[Typed] = [
        ("Only today", 30),
        ("29.90", 40),
        ("Tea pots of clay", 24),
        ("While stocks last, in our shop in Leipzig.", 10),
    ]
    assert pairs(made(flyer)) == [("terms", "\n".join(line[0] for line in flyer))]


def test_what_stands_on_each_page_is_there_once() -> None:
    texts = ["Shipping takes two days.", "Returns are free.", "Pay by card.", "Gift cards do not expire.", "Write to us."]
    body = made(*([("My Shop GmbH", 8), (text, 10), (f"Terms, page {number} of 5", 8), (str(number + 2), 8)]
                  for number, text in enumerate(texts, 1)))  # fmt: skip
    (item,) = read(body).items
    assert item.content == "\n\n".join(["My Shop GmbH\nShipping takes two days.\nTerms, page 1 of 5", *texts[1:]])


def test_prices_at_the_end_of_pages_are_no_page_numbers() -> None:
    pages = [[(f"Cup number {name}", 10), (price, 10)] for name, price in (("one", "12"), ("two", "7"), ("three", "30"))]
    (item,) = read(made(*pages)).items  # type: ignore[arg-type]  # a list of pairs
    assert item.content == "Cup number one\n12\n\nCup number two\n7\n\nCup number three\n30"


def test_a_sentence_that_goes_on_at_the_next_page_stays_whole() -> None:
    body = made(
        [("We ship within two busi-", 10)], [("ness days, and with", 10)], [("care. Returns are free.", 10)], [("So it is.", 10)]
    )
    (item,) = read(body).items
    assert item.content == "We ship within two business days, and with\ncare. Returns are free.\n\nSo it is."


@pytest.mark.parametrize(
    ("title", "shown"),
    [("(anonymous)", "terms"), ("Microsoft Word - AGB.docx", "terms"), ("AGB.indd", "terms"), ("Our terms", "Our terms")],
)
def test_a_title_that_a_program_wrote_is_none(title: str, shown: str) -> None:
    assert pairs(made([(LONG, 10)], title=title)) == [(shown, LONG)]


def test_a_file_that_may_not_be_printed_can_be_read() -> None:
    assert pairs(made([(LONG, 10)], owner_password="owner")) == [("terms", LONG)]


def test_words_from_the_right_are_in_their_order() -> None:
    """As Chrome's PDFs have them, whose extracted lines begin with their full stops."""
    lines = [pdf.Line(".שקל  25 עולה  לחיפה  משלוח,  יומיים  תוך  שולחים  אנחנו"), pdf.Line("Tea pots, of clay.")]
    forwards = "אנחנו שולחים תוך יומיים, משלוח לחיפה עולה 25 שקל."
    assert pdf._text([lines]) == f"{forwards}\nTea pots, of clay."
    assert pdf._text([[pdf.Line(forwards)]]) == forwards
