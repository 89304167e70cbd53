"""Pages of a list. Each is asked for with one row more than it shows (`ROWS + 1`): that says whether there is another page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

#: Rows of a page.
ROWS = 50


def page_of(
    rows: list[dict[str, Any]], address: str, cursor: str = "before", /, **query: Any
) -> tuple[list[dict[str, Any]], str]:
    """The rows that a page shows, and the address of the next page; "" on the last one.

    `cursor`: what says where a page begins. `query`: what else the list's address says; None: nothing. Not by url_for, which
    takes no `endpoint` of ours.
    """
    shown = rows[:ROWS]
    if len(rows) <= ROWS:
        return shown, ""
    said = {name: value for name, value in query.items() if value is not None}
    return shown, f"{address}?{urlencode({**said, cursor: shown[-1]['id']}, doseq=True)}"
