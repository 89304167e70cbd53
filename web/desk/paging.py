"""Pages of a list. Each is asked for with one row more than it shows (`ROWS + 1`): that says whether there is another page."""

from __future__ import annotations

from typing import Any

from flask import url_for

#: Rows of a page.
ROWS = 50


def page_of(rows: list[dict[str, Any]], endpoint: str, cursor: str = "before", **query: Any) -> tuple[list[dict[str, Any]], str]:
    """The rows that a page shows, and the address of the next page; "" on the last one. `cursor`: what names where it begins."""
    shown = rows[:ROWS]
    return shown, url_for(endpoint, **query, **{cursor: shown[-1]["id"]}) if len(rows) > ROWS else ""
