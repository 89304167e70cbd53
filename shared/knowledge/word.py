"""Word files become Markdown: paragraphs, headings, lists, tables, text boxes and notes, as Word shows them.

python-docx gives paragraphs and tables in their order, but does not look into tracked changes, content controls, fields, text
boxes and notes. So what these hold is put where it looks, and what Word does not show goes, before it is asked.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.knowledge.columns import layout_of
from shared.knowledge.documents import Raw, Unreadable

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_NAMES = {"w": _W, "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006"}
#: What is deleted, moved away, hidden, or there for old versions of Word; and rows of tables that are deleted.
_NOT_SHOWN = (
    "//w:tr[w:trPr/w:del] | //w:del | //w:moveFrom | //mc:Fallback | //w:r[w:rPr/w:vanish[not(@w:val='0' or @w:val='false')]]"
)
#: What stands around text: insertions, controls, fields, languages.
_WRAPPERS = "//w:ins | //w:moveTo | //w:sdt | //w:sdtContent | //w:smartTag | //w:customXml | //w:fldSimple | //w:bdo | //w:dir"
#: What is struck out: an old price, hours that are no more.
_STRUCK = " | ".join(f"//w:r[w:rPr/w:{name}[not(@w:val='0' or @w:val='false')]]" for name in ("strike", "dstrike"))
#: Characters of a paragraph in bold type that is a heading.
_LONGEST = 120
#: The level of such a heading, and of a question in a table: below all that are marked as headings.
_LOWEST = 6


@dataclass(frozen=True)
class _Style:
    """What a paragraph's style says: its name, the level of a heading or 0, whether it is in bold type."""

    name: str
    level: int
    is_bold: bool


def markdown_of(raw: Raw) -> tuple[str, str]:
    """The title that a Word file has, if any, and its text. Raises Unreadable."""
    import docx  # slow to import: only in the process that reads
    from lxml import etree

    try:
        word = docx.Document(io.BytesIO(raw.body))
        _show_all(word)
        blocks = _blocks(word)
        title = next((block.text for block in blocks[:3] if _style(block) == "title"), "") or word.core_properties.title
        # Where one run that is struck out ends and the next one begins, whatever Word has put between them.
        return title.replace("~~~~", ""), "\n\n".join(filter(None, _joined(blocks))).replace("~~~~", "")
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, etree.LxmlError) as problem:
        raise Unreadable(f"is damaged, or no Word file ({type(problem).__name__}); open it in Word and save it again") from None


def _blocks(holder: Any) -> list[Any]:
    """Paragraphs that have a text, and tables: of a document, or of a cell."""
    return [block for block in holder.iter_inner_content() if hasattr(block, "rows") or block.text.strip()]


def _show_all(word: Any) -> None:
    """Puts text where python-docx looks, and takes away what Word does not show."""
    body = word.element.body
    for element in _all(body, _NOT_SHOWN):
        _remove(element)
    _show_notes(word)
    for element in _all(body, _WRAPPERS):
        _unwrap(element)
    _mark_struck(body)
    _show_beneath_ruby(body)
    for box in _all(body, "//w:txbxContent"):
        around = [above for above in box.iterancestors() if above.tag == f"{{{_W}}}p"]
        if around:
            for block in reversed(box):
                around[-1].addnext(block)


def _mark_struck(body: Any) -> None:
    """What is struck out gets Markdown's marks, or else it is told as if it held."""
    for run in _all(body, _STRUCK):
        texts = _all(run, "./w:t")
        if any((text.text or "").strip() for text in texts):
            texts[0].text = f"~~{texts[0].text or ''}"
            texts[-1].text = f"{texts[-1].text or ''}~~"


def _show_beneath_ruby(body: Any) -> None:
    """Words that have their pronunciation above them."""
    from docx.oxml import OxmlElement

    for ruby in _all(body, "//w:ruby"):
        shown = OxmlElement("w:t")
        shown.text = "".join(_all(ruby, "./w:rubyBase//w:t/text()"))
        ruby.addprevious(shown)
        _remove(ruby)


def _all(element: Any, path: str) -> list[Any]:
    """What a path leads to; python-docx's own way knows fewer namespaces."""
    from lxml import etree

    found: list[Any] = etree.XPath(path, namespaces=_NAMES)(element)
    return found


def _remove(element: Any) -> None:
    if element.getparent() is not None:
        element.getparent().remove(element)


def _unwrap(element: Any) -> None:
    for inner in [] if element.getparent() is None else list(element):
        element.addprevious(inner)
    _remove(element)


def _show_notes(word: Any) -> None:
    """Footnotes and endnotes stand in parentheses where they belong."""
    from docx.oxml import OxmlElement
    from lxml import etree

    for kind in ("footnote", "endnote"):
        parts = [one.target_part for one in word.part.rels.values() if one.reltype.endswith(f"/{kind}s")]
        if not parts:
            continue
        notes = etree.fromstring(parts[0].blob, etree.XMLParser(resolve_entities=False, no_network=True))
        texts = {note.get(f"{{{_W}}}id"): " ".join("".join(note.itertext()).split()) for note in notes}
        for reference in _all(word.element.body, f"//w:{kind}Reference"):
            if text := texts.get(reference.get(f"{{{_W}}}id")):
                shown = OxmlElement("w:t")
                shown.text = f" ({text})"
                reference.addprevious(shown)


def _joined(blocks: list[Any]) -> Iterator[str]:
    """Blocks of a Word file as Markdown; items of a list that follow one another are one block."""
    items: list[str] = []
    for place, block in enumerate(blocks):
        if _is_list(block):
            items.append(f"{'  ' * _depth(block)}- {block.text.strip()}")
            continue
        if items:
            yield "\n".join(items)
            items = []
        following = blocks[place + 1 : place + 2]
        yield _table(block, following) if hasattr(block, "rows") else _paragraph(block, following)
    yield "\n".join(items)


def _paragraph(block: Any, following: list[Any]) -> str:
    style, text = _style(block), str(block.text).strip()
    if style.startswith("toc"):  # a table of contents
        return ""
    level = 1 if style == "title" else _level(block)
    if not level and _is_bold(block) and following and not _is_bold(following[0]):
        level = _LOWEST
    return "#" * level + " " + " ".join(text.split()) if level else text


def _of_style(block: Any) -> _Style:
    """The paragraph's style, looked up once in a document: python-docx searches all of them each time."""
    known: dict[str | None, _Style] = block.part.__dict__.setdefault("_known_styles", {})
    name = block._p.style
    if name not in known:
        style = block.style
        is_bold = style is not None and bool(style.font.bold)
        known[name] = _Style((style.name or "").lower() if style is not None else "", _level_of(style), is_bold)
    return known[name]


def _style(block: Any) -> str:
    return "" if hasattr(block, "rows") else _of_style(block).name


def _level(block: Any) -> int:
    """The level of a heading: what the paragraph says, or its style; 0 of other text."""
    outline = _outline(block._p.pPr)
    return _of_style(block).level if outline is None else outline


def _level_of(style: Any) -> int:
    """The level of headings of a style, or of that on which it is based."""
    for _ in range(10):
        if style is None:
            break
        if named := re.fullmatch(r"heading ([1-6])", style.name or "", re.I):
            return int(named[1])
        if (outline := _outline(style.element.pPr)) is not None:
            return outline
        style = style.base_style
    return 0


def _outline(properties: Any) -> int | None:
    found = properties.find(f"{{{_W}}}outlineLvl") if properties is not None else None
    level = found.get(f"{{{_W}}}val") if found is not None else ""
    return (int(level) + 1 if int(level) < 6 else 0) if level and re.fullmatch("[0-9]", level) else None


def _is_bold(block: Any) -> bool:
    """Whether all of a short paragraph is in bold type."""
    if hasattr(block, "rows") or _is_list(block) or not 0 < len(block.text.strip()) <= _LONGEST:
        return False
    by_style = _of_style(block).is_bold
    return all(by_style if run.bold is None else run.bold for run in block.runs if run.text.strip()) and any(block.runs)


def _is_list(block: Any) -> bool:
    if hasattr(block, "rows"):
        return False
    properties = block._p.pPr
    has_number = properties is not None and properties.numPr is not None
    return not _level(block) and (_style(block).startswith("list") or has_number)


def _depth(block: Any) -> int:
    properties = block._p.pPr
    level = properties.numPr.ilvl if properties is not None and properties.numPr is not None else None
    named = re.search(r" ([2-5])$", _style(block))
    return int(level.val) if level is not None else int(named[1]) - 1 if named else 0


def _table(table: Any, following: list[Any]) -> str:
    """The rows of a table; of one of questions and answers headings and texts, unless a text follows, which is neither."""
    if _is_frame(table):
        return "\n\n".join(filter(None, (_framed(cell) for row in table.rows for cell in _unmerged(row))))
    rows = [cells for row in table.rows if any(cells := [_text(cell) for cell in _unmerged(row)])]
    layout = layout_of(rows[:1])
    is_asked = len(rows) > 1 and layout.header and not layout.names and {len(row) for row in rows} == {2}
    if is_asked and all(not hasattr(block, "rows") and _level(block) for block in following):
        ((question, answer),) = layout.pairs
        return "\n\n".join(f"{'#' * _LOWEST} {row[question]}\n\n{row[answer]}" for row in rows[1:])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _is_frame(table: Any) -> bool:
    """Whether a table only says where its parts stand on the page: it has one row or column, and a part is a table or a text."""
    cells = [cell for row in table.rows for cell in _unmerged(row)] if 1 in (len(table.rows), len(table.columns)) else []
    return any(
        any(len(inner.rows) > 1 for inner in cell.tables) or len([one for one in cell.paragraphs if one.text.strip()]) > 2
        for cell in cells
    )


def _framed(cell: Any) -> str:
    return "\n\n".join(filter(None, _joined(_blocks(cell))))


def _unmerged(row: Any) -> list[Any]:
    """Cells, of which those that are merged are one."""
    cells: list[Any] = []
    for cell in row.cells:
        if not cells or cell._tc is not cells[-1]._tc:
            cells.append(cell)
    return cells


def _text(cell: Any) -> str:
    inner = (_in_line(block) if hasattr(block, "rows") else block.text for block in cell.iter_inner_content())
    return " ".join(" ".join(inner).split())


def _in_line(table: Any) -> str:
    """A table within a cell of another one, whose line it must not end."""
    rows = [cells for row in table.rows if any(cells := [_text(cell) for cell in _unmerged(row)])]
    if len(rows) < 2:
        return _table(table, [table])
    return "; ".join(": ".join(filter(None, [cells[0], ", ".join(filter(None, cells[1:]))])) for cells in rows)
