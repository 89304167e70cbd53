"""What the rows of a table say: of things and their prices all that customers may know, and what stands above some of them."""

from __future__ import annotations

import re

from shared.knowledge.columns import PEOPLE, Layout, Row, fold, folded
from shared.knowledge.split import HEADING

#: What says in a column of statuses that a row is not for customers.
_NOT_SHOWN = folded(
    "draft unpublished archived hidden inactive disabled deleted private internal agents false no off 0 entwurf archiviert"
    " unveröffentlicht versteckt inaktiv deaktiviert gelöscht privat intern falsch nein aus brouillon borrador bozza rascunho"
    " concept"
)


def described(layout: Layout, row: Row) -> str:
    """What a row of a table of things says, beside the thing's name: a line for each column."""
    skipped = {layout.pairs[0][0], layout.link, *layout.status, *layout.private}
    cells = [(name, cell) for place, (name, cell) in enumerate(zip(layout.names, row, strict=False)) if place not in skipped]
    return "\n".join(f"{name}: {cell}" for name, cell in cells if name and _is_told(cell))


def _is_told(cell: str) -> bool:
    is_picture = re.fullmatch(r"https?://\S+\.(jpe?g|png|webp|gif|svg)(\?\S*)?", cell, re.I)
    return bool(cell) and not is_picture and cell.upper() not in ("TRUE", "FALSE")


def names_people(layout: Layout) -> bool:
    """Whether the header says that its things are people."""
    return fold("".join(layout.names[layout.pairs[0][0] : layout.pairs[0][0] + 1])) in PEOPLE


def is_shown(layout: Layout, row: Row) -> bool:
    """Whether a row is for customers: it is no draft, and not archived."""
    cells = [row[place] for place in layout.status if place < len(row)]
    return not any(cell == "-1" or fold(cell) in _NOT_SHOWN for cell in cells)  # WooCommerce's drafts are -1


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
