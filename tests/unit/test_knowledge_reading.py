"""Files of every kind become items, or say in their owner's words why they cannot; none of them harms the worker."""

from __future__ import annotations

import fcntl
import io
import os
import resource
import signal
import subprocess
import sys
import termios
import time
import zipfile
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pypdf
import pytest
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from shared.knowledge import readers, reading
from shared.knowledge.documents import MAX_ITEMS, Document, Raw, Unreadable
from shared.knowledge.reader_memory import TooLittle
from shared.knowledge.reading import NoMemoryFree, Turns
from shared.telemetry import machine
from tests.waiting import until

QA = [("Wann liefern Sie?", "In zwei Tagen."), ("Größe?", "Für „große“ Füße: 50.")]


def read(name: str, body: bytes | str, **more: Any) -> Document:
    with reading.turn(1) as read_raw:
        return read_raw(Raw(name, body.encode() if isinstance(body, str) else body, **more))


def pairs(document: Document) -> list[tuple[str, str]]:
    return [(item.title, item.content) for item in document.items]


def csv_of(rows: list[tuple[str, str]], delimiter: str = ";", header: str = "") -> str:
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    return "\r\n".join([*([header] if header else []), *quoted])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_of_any_kind(encoding: str, delimiter: str) -> None:
    text = csv_of([*QA, ("Zwei\nZeilen; und, mehr?", 'Ja, "so"\n\nist es.')], delimiter, f"Frage{delimiter}Antwort")
    assert pairs(read("faq.csv", text.encode(encoding))) == [*QA, ("Zwei Zeilen; und, mehr?", 'Ja, "so"\n\nist es.')]


@pytest.mark.parametrize(
    "header",
    [
        "id;Answer;Question", "Nr;Antwort;Frage", "n.º;Respuesta;Pregunta", "n;RÉPONSE;Question",
        "#;Risposta;Domanda", "nr;Antwoord;Vraag", "x;Resposta;Pergunta", "x;Text;Titel",
    ],
)  # fmt: skip
def test_columns_are_found_by_their_headers(header: str) -> None:
    assert pairs(read("faq.csv", f"{header}\n1;Two days.;When?\n")) == [("When?", "Two days.")]


def test_without_headers_the_first_two_columns_count() -> None:
    # What is in a column without a name may not be meant for customers; with as many cells as the header it is one.
    notes = "question;answer;\nWhen?;Two days.;ask Bob\nWhere?;Here.;\n"
    assert pairs(read("faq.csv", notes)) == [("When?", "Two days."), ("Where?", "Here.")]
    assert pairs(read("faq.csv", "When?;Two days.;x\nWhere?;Here.;y\n")) == [("When?", "Two days."), ("Where?", "Here.")]


@pytest.mark.parametrize("answer", ["Two years; green tea one.", "3;5 % off", "Two; three; or four."])
def test_an_answer_with_the_delimiter_in_it_stays_whole(answer: str) -> None:
    text = f"question;answer\nHow long?;{answer};\nWhere?;Here.\nWho?;We.\n"
    assert pairs(read("faq.csv", text)) == [("How long?", answer), ("Where?", "Here."), ("Who?", "We.")]


def test_a_russian_table_of_an_old_code_page() -> None:
    text = "Когда доставка?;Доставка занимает два дня.\n"
    assert pairs(read("faq.csv", text.encode("cp1251") * 20)) == [("Когда доставка?", "Доставка занимает два дня.")]


def test_rows_that_lack_something() -> None:
    document = read(
        "faq.csv",
        "question,answer,url\nA?,1,https://Shop.example/a\n\nA?,1,https://shop.example/a\n"
        "B?,,\n,2 more,\n,,\nC?,3,javascript:x\nD?,,\nE?,4,\nF?,,\n",
    )
    assert [(item.title, item.content, item.url) for item in document.items] == [
        ("A?", "1", "https://shop.example/a"), ("B?", "2 more", None), ("C?", "3", None), ("E?", "4", None)]  # fmt: skip
    assert document.warning == "left out: row 9 has no answer, row 11 has no answer; repetitions left out: 1"


@pytest.mark.parametrize("cell", ['=HYPERLINK("https://evil.example","Click")', "+49 30 1234", "@home", "-5", "=1+1"])
def test_what_looks_like_a_formula_is_text(cell: str) -> None:
    assert pairs(read("faq.csv", csv_of([("Phone?", cell)]))) == [("Phone?", cell)]


def xlsx(fill: Callable[[Any], None]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    fill(book)
    book.save(file)
    return file.getvalue()


def test_an_excel_file() -> None:
    def fill(book: Any) -> None:
        sheet = book.active
        for row in (
            ["Preisliste", None, None],
            ["Frage", "Antwort", "Link"],
            ["Seit wann?", date(2024, 5, 1), None],
            ["Bis wann?", datetime(2024, 5, 1, 14, 30), "https://shop.example/x"],
            ["Preis?", 19.9, None],
            ["Stück?", 3.0, None],
            ["Rabatt?", 0.15, None],
            ["Summe?", "=B5*2", None],
            ["Versand?", "Per Post.", None],
            [None, "Oder abholen.", None],
        ):
            sheet.append(row)
        sheet["B7"].number_format = "0%"
        sheet.merge_cells("A1:C1")
        sheet.merge_cells("A9:A10")
        book.create_sheet("Leer")
        hidden = book.create_sheet("Intern")
        hidden.append(["Geheim?", "Ja."])
        hidden.sheet_state = "hidden"

    document = read("preise.xlsx", xlsx(fill))
    assert pairs(document) == [
        ("Seit wann?", "2024-05-01"), ("Bis wann?", "2024-05-01 14:30"), ("Preis?", "19.9"), ("Stück?", "3"),
        ("Rabatt?", "15 %"), ("Summe?", "=B5*2"), ("Versand?", "Per Post."), ("Versand?", "Oder abholen."),
    ]  # fmt: skip


def pdf(*pages: str, password: str = "") -> bytes:
    """A PDF with one line of text on each page; a page of "" has none."""
    writer = pypdf.PdfWriter()
    font = pypdf.generic.DictionaryObject()
    for key, value in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica")):
        font[pypdf.generic.NameObject(key)] = pypdf.generic.NameObject(value)
    for text in pages:
        page = writer.add_blank_page(300, 300)
        stream = pypdf.generic.StreamObject()
        lines = "".join(f"({line}) Tj T* " for line in text.split("\n"))
        stream.set_data(f"BT /F1 12 Tf 14 TL 20 200 Td {lines}ET".encode("latin-1") if text else b"")
        fonts = pypdf.generic.DictionaryObject({pypdf.generic.NameObject("/F1"): font})
        page[pypdf.generic.NameObject("/Resources")] = pypdf.generic.DictionaryObject({pypdf.generic.NameObject("/Font"): fonts})
        page[pypdf.generic.NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def test_a_pdf() -> None:
    document = read("price_list.pdf", pdf("We ship within two busi-\nness days.", "Returns are free.", ""))
    assert pairs(document) == [("price list", "We ship within two business days.\n\nReturns are free.")]
    assert document.warning == "1 of 3 pages have no text and may be scans"


def test_a_word_file() -> None:
    word, file = docx.Document(), io.BytesIO()
    word.add_heading("Shop", 0)
    word.add_paragraph("Welcome.")
    word.add_heading("Sizes", 1)
    table = word.add_table(3, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "All sizes"
    for row, texts in enumerate((("S", "36"), ("M", "38")), 1):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    word.add_heading("Payment", 2)
    word.add_paragraph("Card", style="List Bullet")
    word.add_paragraph("Invoice", style="List Number")
    word.add_paragraph("That is all.")
    word.save(file)
    assert pairs(read("shop.docx", file.getvalue())) == [
        ("Shop", "Welcome."),
        ("Shop › Sizes", "| All sizes |\n| S | 36 |\n| M | 38 |"),
        ("Shop › Sizes › Payment", "- Card\n- Invoice\n\nThat is all."),
    ]


def test_markdown_and_plain_text() -> None:
    markdown = "---\ntitle: Help\nauthor: me\n---\n# Help\nHi.\n## Shipping\nTwo days.\n"
    assert pairs(read("x.md", markdown)) == [("Help", "Hi."), ("Help › Shipping", "Two days.")]
    assert pairs(read("my_notes.txt", "Ä line\r\nand more".encode("cp1252"))) == [("my notes", "Ä line\nand more")]


PAGE = """<!doctype html><html lang="de-AT"><head><title>Versand | Shop</title><link rel="canonical" href="/versand">
{head}</head><body><nav><a href="/">Start</a> <a href="/x">Kontakt</a></nav><main><h1>Versand</h1><p>Wir versenden innerhalb von
zwei Werktagen mit der Post.</p><h2>Ausland</h2><p>Ins Ausland dauert es zehn Tage und kostet neun Euro.</p>
<table><tr><th>Land</th>
<th>Tage</th></tr>
<tr><td>Schweiz</td><td>12</td></tr></table></main><footer>Impressum</footer></body></html>"""


def test_a_web_page() -> None:
    document = read(
        "versand", PAGE.format(head=""), media_type="text/html; charset=utf-8", url="https://shop.example/versand?x=1"
    )
    text = "\n".join(f"{title}: {content}" for title, content in pairs(document))
    for wanted in ("zwei Werktagen", "Versand › Ausland: ", "zehn Tage", "Schweiz", "12"):
        assert wanted in text
    assert "Kontakt" not in text
    assert "Impressum" not in text
    assert (document.language, document.canonical) == ("de-AT", "https://shop.example/versand")
    assert read("x", PAGE.format(head='<meta name="Robots" content="NOINDEX, follow">'), url="https://shop.example/").noindex
    latin = PAGE.format(head='<meta charset="iso-8859-1">').replace("Werktagen", "Wörktagen").encode("latin-1")
    assert "Wörktagen" in str(pairs(read("x.html", latin)))


def test_questions_that_open_at_a_click() -> None:
    page = """<title>FAQ</title><nav>Home</nav><h1>FAQ</h1>
<details><summary>When do you ship?</summary><p>In two days.</p></details>
<dl><dt>Can I pay by card?</dt><dd>Yes, by any.</dd></dl><footer>Imprint</footer>"""
    assert pairs(read("x.html", page)) == [
        ("FAQ › When do you ship?", "In two days."),
        ("FAQ › Can I pay by card?", "Yes, by any."),
    ]


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b"\0" * 210_000_000)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("faq.csv", b"", "is empty"),
        ("faq.csv", b" \r\n", "is empty"),
        ("faq.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20, "is not a text file"),
        ("faq.txt", bytes(range(1, 256)) * 20, "is not a text file"),
        ("faq.txt", b"%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n", "is not a text file"),
        ("faq.txt", rb"{\rtf1\ansi\deff0 {\fonttbl {\f0 Arial;}} We ship in two days.}", "is not a text file"),
        ("faq.md", b"\x89PNG\r\n\x1a\n" + bytes(1000), "is not a text file"),
        ("faq.csv", "one\ntwo\n", "has one column; give it two"),
        ("faq.csv", "question;answer\n", "has no row with a question and an answer"),
        ("faq.csv", 'question;answer\n"never closed', "has one column; give it two"),
        ("faq.csv", "q;a\n" + "".join(f"{n}?;{n}\n" for n in range(MAX_ITEMS + 1)), "more than 20,000 rows"),
        ("faq.csv", b"x" * 20_971_521, "is larger than 20 MB"),
        ("faq.xlsx", b"PK\x03\x04 nothing", "is damaged, or no Office file"),
        ("faq.xlsx", b"\xd0\xcf\x11\xe0" + b"x" * 600, "is protected by a password, or of an old kind"),
        ("faq.xlsx", bomb(), "unpacks to more than 200 MB"),
        ("faq.docx", xlsx(lambda book: None), "is damaged, or no Word file"),
        ("faq.pdf", pdf("", ""), "it is a scan"),
        ("faq.pdf", pdf("Secret text of ours", password="x"), "is protected by a password"),
        ("faq.pdf", b"%PDF-1.7 and nothing more", "is damaged, or no PDF"),
        ("faq.doc", b"x", "save it as .docx"),
        ("articles.json", b"{}", "export it as CSV"),
        ("faq.yml", b"- a", "export it as CSV"),
        ("answer.eml", b"x", "save it as PDF"),
        ("faq.exe", b"MZ", "of a kind that cannot be read"),
        ("faq", b"text", "its name has no extension"),
        ("faq.html", "<html><script>render()</script></html>", "drawn by JavaScript"),
        ("faq.html", "<html><body><img src=prices.png></body></html>", "in a picture"),
        ("faq.html", "<html><body><h1>Prices</h1><img src=prices.png></body></html>", "pictures are not read"),
        ("faq.md", "# Prices\n", "pictures are not read"),
        ("faq.html", "<div>" * 5_000, "has no text|nested"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_so(name: str, body: bytes | str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(name, body)


def test_a_document_that_takes_too_long_or_kills_its_reader_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    sheet = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "{"lol" * 99}">{entities}]><x>&e11;</x>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("[Content_Types].xml", sheet)
    with pytest.raises(Unreadable):
        read("laughs.xlsx", file.getvalue())
    with monkeypatch.context() as short:
        short.setattr(reading, "SECONDS", 0.01)
        with pytest.raises(Unreadable, match="took longer"):
            read("long.txt", "One sentence. " * 300_000)
    assert pairs(read("short.txt", "After it.")) == [("short", "After it.")]
    process = reading._reader._process
    assert process is not None
    process.kill()
    process.wait()
    assert pairs(read("short.txt", "After it.")) == [("short", "After it.")]


def test_a_machine_whose_memory_is_used_up_ends_the_reader_and_nothing_else() -> None:
    read("short.txt", "One sentence.")
    process = reading._reader._process
    assert process is not None
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text(encoding="utf-8").strip() == "1000"


def test_a_file_for_which_memory_is_missing_is_not_called_damaged() -> None:
    """libxml2 tells it as an error of syntax."""
    paragraph = "<w:p><w:r><w:t>Some words.</w:t></w:r></w:p>"
    small = io.BytesIO()
    docx.Document().save(small)
    read("small.html", "<p>A page that has the libraries loaded.</p>")
    process = reading._reader._process
    assert process is not None
    taken = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (taken + 2**26,) * 2)
    large = io.BytesIO()
    with zipfile.ZipFile(small) as parts, zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as more:
        for part in parts.namelist():
            text = parts.read(part)
            grown = text.replace(b"<w:body>", b"<w:body>" + paragraph.encode() * 400_000)
            more.writestr(part, grown if part == "word/document.xml" else text)
    try:
        with pytest.raises(Unreadable, match="needs more memory"):
            read("large.docx", large.getvalue())
    finally:
        process.kill()
        process.wait()


def test_a_pdf_that_unpacks_to_more_than_can_be_read_says_so() -> None:
    pages = pypdf.PdfWriter()
    pages.add_blank_page(100, 100)
    content = StreamObject()
    content.set_data(bytes(200_000_000))
    pages.pages[0][NameObject("/Contents")] = pages._add_object(content.flate_encode(9))
    pages.pages[0][NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject()})
    file = io.BytesIO()
    pages.write(file)
    with pytest.raises(Unreadable, match="unpacks to more than can be read"):
        read("bomb.pdf", file.getvalue())


def test_hidden_columns_that_begin_before_the_first_are_not_counted_one_by_one() -> None:
    book = openpyxl.Workbook()
    for row in [("question", "answer"), *QA]:
        book.active.append(row)
    book.active.column_dimensions["D"].hidden = True
    whole, broken = io.BytesIO(), io.BytesIO()
    book.save(whole)
    with zipfile.ZipFile(whole) as parts, zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as more:
        for part in parts.namelist():
            more.writestr(part, parts.read(part).replace(b'min="4"', b'min="-2000000000"'))
    with pytest.raises(Unreadable, match="is damaged"):  # and does not need too much memory
        read("faq.xlsx", broken.getvalue())


@pytest.mark.parametrize("file", ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"])
def test_a_container_has_the_memory_that_it_may_have(tmp_path: Path, file: str) -> None:
    whole = machine.memory(tmp_path)
    assert whole > 2**27
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text("134217728\n", encoding="utf-8")
    assert machine.memory(tmp_path) == 2**27
    for no_limit in ("max\n", "9223372036854771712\n"):
        path.write_text(no_limit, encoding="utf-8")
        assert machine.memory(tmp_path) == whole


@pytest.mark.parametrize(
    ("limit", "used", "kinds"),
    [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/memory.usage_in_bytes",
            "sys/fs/cgroup/memory/memory.stat",
        ),
    ],
)
def test_free_is_what_nobody_has_and_what_linux_only_keeps_of_files(tmp_path: Path, limit: str, used: str, kinds: str) -> None:
    assert machine.free_memory(tmp_path) == machine.memory(tmp_path)
    files = {
        "proc/meminfo": "MemTotal:  16000 kB\nMemFree:  1000 kB\nMemAvailable:    9000 kB\n",
        limit: "8000000\n",
        used: "5000000\n",
        kinds: "anon 4000000\ninactive_file 700000\nactive_file 300000\ntotal_inactive_file 700000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        if name == "proc/meminfo":
            assert machine.free_memory(tmp_path) == 9000 * 1024
    assert machine.free_memory(tmp_path) == 4_000_000
    (tmp_path / limit).write_text("max\n", encoding="utf-8")
    assert machine.free_memory(tmp_path) == 9000 * 1024


@pytest.mark.parametrize(("free", "written"), [(4000, 768), (512, 448), (100, 192)])
def test_a_reader_takes_no_memory_that_is_not_free(free: int, written: int) -> None:
    """On a machine of 512 MB it was ended by Linux, or the worker beside it was."""
    program = (
        "import resource; from shared.knowledge import reader_memory; reader_memory.limit_for_good();"
        f"taken = reader_memory._taken(); reader_memory.limit_for_now(({free} << 20) - taken);"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20, taken >> 20)"
    )
    limit, taken = map(int, subprocess.check_output([sys.executable, "-c", program]).split())
    assert abs(limit - written) <= 2
    assert 4 < taken < 100


def test_a_document_is_read_when_memory_is_free_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was refused for good, and so was every other one while the reader that began in such a moment lived."""
    monkeypatch.setattr(reading, "_too_little", TooLittle())  # another test may have read the same book
    book = "One sentence. " * 1_400_000
    assert pairs(read("short.txt", "Before it.")) == [("short", "Before it.")]
    with monkeypatch.context() as little:
        little.setattr(machine, "free_memory", lambda: 256 << 20)
        with pytest.raises(NoMemoryFree):
            read("book.txt", book)
        assert reading._reader._process is None  # it ends with what was too much for it
        with pytest.raises(NoMemoryFree):
            read("book.txt", book)
        assert reading._reader._process is None, "nobody tries what is known to fail"
        assert pairs(read("short.txt", "Beside it.")) == [("short", "Beside it.")]
    assert len(read("book.txt", book).items) > 9_000


def test_a_document_that_could_never_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: 300 << 20)
    monkeypatch.setattr(machine, "free_memory", lambda: 250 << 20)
    with pytest.raises(Unreadable, match="needs more memory to be read than this system has"):
        read("large.txt", "Another sentence. " * 1_100_000)


def test_what_linux_ends_for_memory_waits_for_it() -> None:
    assert pairs(read("short.txt", "Before it.")) == [("short", "Before it.")]
    process = reading._reader._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read, "short.txt", "A sentence.")
        until(_is_sent)
        process.kill()
        with pytest.raises(NoMemoryFree):
            reader.result()


def test_a_minute_is_one_of_work_not_of_waiting_for_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pairs(read("short.txt", "Before it.")) == [("short", "Before it.")]
    process = reading._reader._process
    assert process is not None
    monkeypatch.setattr(reading, "SECONDS", 1.0)
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read, "short.txt", "A sentence.")
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGCONT)
        assert pairs(reader.result()) == [("short", "A sentence.")]


def _is_sent() -> bool:
    """Whether something waits in the socket for the reader to read it."""
    assert reading._reader._connection is not None
    waiting = array("i", [0])
    fcntl.ioctl(reading._reader._connection.fileno(), termios.TIOCOUTQ, waiting)
    return waiting[0] > 0


def test_a_reader_ends_with_a_large_document_and_its_memory_with_it() -> None:
    assert pairs(read("short.txt", "One sentence.")) == [("short", "One sentence.")]
    assert reading._reader._process is not None
    read("long.txt", "One sentence. " * 100_000)
    assert reading._reader._process is None


def test_a_packed_file_that_says_the_same_again_and_again_does_not_fill_the_worker() -> None:
    """The text is there once in the file, and in the reader's memory: 300 kB become 27 MB."""
    file, book = io.BytesIO(), openpyxl.Workbook()
    for number in range(15_000):
        book.active.append((f"Which is {number}?", "words " * 300))
    book.save(file)
    with pytest.raises(Unreadable, match="has more than 25,000,000 characters"):
        read("faq.xlsx", file.getvalue())


def test_customers_take_turns() -> None:
    """Who has many documents keeps another one waiting for one of them."""
    turns, order = Turns(), list[str]()

    def read_for(customer: str) -> None:
        with turns.turn(customer):
            order.append(customer)

    with ThreadPoolExecutor(5) as pool:
        with turns.turn("many"):
            for number, customer in enumerate(["many", "many", "many", "one"], 1):
                pool.submit(read_for, customer)
                while len(turns._waiting) < number:
                    time.sleep(0.001)
        pool.shutdown()
    assert order == ["one", "many", "many", "many"]


PLAIN = [
    "{0}\n{1}\n--------\n{2}\n{3}\n",
    "{0}\n\n{1}\n\n{2}\n\n{3}\n",
    "1. {0}\r\n{1}\r\n\r\n2) {2}\r\n{3}\r\n",
    "{0}\n{1}\n\n* * *\n\n{2}\n{3}\n",
    "Q: {0}\r\nA: {1}\r\n\r\nQ: {2}\r\nA: {3}\r\n",
    "- {0}\n{1}\n\n- {2}\n{3}\n",
]


@pytest.mark.parametrize("form", PLAIN)
def test_questions_of_a_plain_text_are_found_by_themselves(form: str) -> None:
    facts = ("Do you ship to Austria?", "Yes, within three days.", "Can I pay cash?", "At the shop.\nNot by mail.")
    document = read("faq.txt", form.format(*facts))
    assert [(item.title.removeprefix("faq › "), item.content) for item in document.items] == [facts[:2], facts[2:]]


def test_headings_that_a_rule_underlines_stay_above_questions() -> None:
    text = "Shipping\n--------\n\nAustria?\n\nIn three days.\n----\nItaly?\n\nIn five.\n\nPaying\n------\nCash?\nYes.\n"
    titles = ["faq › Shipping › Austria?", "faq › Shipping › Italy?", "faq › Paying › Cash?"]
    assert [item.title for item in read("faq.txt", text).items] == titles


def test_a_question_in_running_text_is_no_heading() -> None:
    text = "Not sure?\nCall us.\n\nWe are open daily.\nAnd at night? No.\n\nWhy?\nWho?\nHow?\n"
    assert len(read("faq.txt", text).items) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("faq.gdoc", "export it as Word"), ("prices.gsheet", "export it as CSV"), ("faq.jsonl", "export it as CSV"),
        ("faq.odt", "save it as .docx"), ("faq.pptx", "export it as PDF"), ("faq.rst", "save it as .txt"),
        ("page.mhtml", "save it as PDF"), ("all.tar.gz", "unpack it"), ("faq.exe", "CSV, TSV, Excel"),
    ],
)  # fmt: skip
def test_who_tries_another_kind_of_file_is_told_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(Unreadable, match=hint):
        readers.supported(name)
