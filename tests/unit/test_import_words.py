"""What shared/knowledge says of pages and files is German on a German desk."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from shared.knowledge import readers, tables
from shared.knowledge.documents import Raw
from web.desk.import_words import import_words

#: Who says it, and what is read with it: `_skip` is the worker's, for pages that are left out.
_SAYS = {"Refused", "Unreadable", "PageRefused", "PageGone", "PageFailed", "ReaderDied", "_skip"}
#: What values may be: of a condition each of its texts.
_COMPOSED = {
    "reason": ("is damaged, or no Office file", "is protected by a password, or of an old kind"),
    "one": ("has one column", "has no row with a question and an answer"),
    "_OTHERS[extension]": tuple(readers._OTHERS.values()),
    "problem": ("is empty",),
}


def texts_of(node: ast.expr, composed: Mapping[str, Sequence[str]]) -> list[str]:
    """The texts that an expression can be, each value in it as 7, or as the texts it is composed of."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts_of(value, composed)]
    if not isinstance(node, ast.JoinedStr):
        return []
    texts = [""]
    for part in node.values:
        name = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
        kept = composed.get(name, ("7",)) if name else (str(part.value),)  # type: ignore[attr-defined]  # a constant's
        texts = [text + one for text in texts for one in kept]
    return texts


def said(root: Path) -> set[str]:
    found: set[str] = set()
    for path in [*(root / "shared/knowledge").glob("*.py"), root / "workers/knowledge_import.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _SAYS and node.args:
                found.update(texts_of(node.args[-1], _COMPOSED))
    return found


@pytest.mark.usefixtures("german")
def test_each_text_of_an_import_has_its_german(root: Path) -> None:
    texts = said(root)
    assert len(texts) > 40
    assert [text for text in sorted(texts) if re.search("[a-z]", text) and import_words(text) == text] == []


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("price list.pdf is empty.", "price list.pdf ist leer."),
        ("a.xls is of a kind that cannot be read (*.xls); save it as .xlsx.", "a.xls hat ein Format, das nicht gelesen"),
        ("/sitemap.xml: the page is gone (HTTP 404)", "/sitemap.xml: die Seite gibt es nicht mehr (HTTP 404)"),
        ("The address must name a host, as in https://shop.example/hook.", "Die Adresse muss einen Host nennen"),
        ("row 3 has no answer", "Zeile 3 hat keine Antwort"),
        ("2 of 5 pages have no text and may be scans", "2 von 5 Seiten haben keinen Text und sind vielleicht Scans"),
        (
            "left out: row 2 is hidden, row 3 is marked as not public; formulas without their results"
            " (open it in Excel and save it): row 4, row 5 and 7 more",
            "ausgelassen: Zeile 2 ist ausgeblendet, Zeile 3 ist als nicht öffentlich gekennzeichnet; Formeln ohne ihr Ergebnis"
            " (in Excel öffnen und speichern): Zeile 4, Zeile 5 und 7 weitere",
        ),
        (
            "2 of 5 pages have no text and may be scans; 1,200 of 2,000 items were left out, for a business may have 100,000 from"
            " imports: delete imports that you no longer need, and read it again",
            "2 von 5 Seiten haben keinen Text und sind vielleicht Scans; 1,200 von 2,000 Einträgen wurden ausgelassen",
        ),
        ("a text that nobody says", "a text that nobody says"),
        (None, ""),
    ],
)
def test_an_import_s_text_in_german(text: str | None, shown: str) -> None:
    assert import_words(text).startswith(shown)


@pytest.mark.usefixtures("german")
def test_the_kinds_that_can_be_read_are_named_in_german() -> None:
    for name in ("logo.png", "notes"):
        with pytest.raises(readers.Unreadable) as refused:
            readers.supported(name)
        assert import_words(str(refused.value)).endswith("Markdown, reiner Text, PDF, Word (.docx) und HTML")


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ("Wann?,\nWo?,Hier.", "ausgelassen: Zeile 2 hat keine Antwort"),
        (
            "".join(f"Frage {n},\n" for n in range(9)) + "Wo?,Hier.\nWo?,Hier.",
            "ausgelassen: Zeile 2 hat keine Antwort, Zeile 3 hat",
        ),
        ("Wo?,Hier.\nWo?,Hier.", "ausgelassene Wiederholungen: 1"),
        ('Wo?,"Hier.\n', "ein Anführungszeichen wird nicht geschlossen in Zeile 2"),
    ],
)
def test_what_a_table_leaves_out_is_said_in_german(rows: str, shown: str) -> None:
    warning = tables.read_csv(Raw("faq.csv", f"question,answer\n{rows}\n".encode())).warning
    words = import_words(warning)
    assert words.startswith(shown)
    assert not re.search(r"\b(row|more|left|repeated)\b", words)
