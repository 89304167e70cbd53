"""The inbox's lists: who waits for a person, mine, people's, the bot's, closed ones; and its search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.db import sql
from shared.payloads import MAX_ROW_ID

queries = sql.load(__file__)

#: The lists, and whose conversations each has. Of `waiting` and `mine` some.
VIEWS = {"waiting": ["person"], "mine": ["person"], "people": ["person"], "bot": ["bot"], "closed": ["closed"]}
VIEWS["all"] = ["person", "bot", "closed"]
#: Rows of a page.
PAGE = 40
#: Counts are exact up to one less.
COUNTED = 10_001
#: Conversations of late whose texts are searched.
RECENT = 2_000
#: Characters of a search.
MAX_SEARCH = 100
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Filter:
    """Which conversations of a customer."""

    customer_id: int
    user_id: int
    view: str = "waiting"
    chatbot_id: int | None = None
    channel: str | None = None
    search: str = ""
    #: Texts of messages as well: a hit says that the word is there.
    finds_texts: bool = True


@dataclass(frozen=True)
class Page:
    """Rows of a list, and where the next page begins; None on the last one."""

    rows: list[dict[str, Any]]
    next: str | None


def page(wanted: Filter, after: str = "", rows: int = PAGE) -> Page:
    """A page of a list, from `next` of the page before. A search has one page."""
    search = wanted.search.strip()
    found = _search(wanted, search, rows) if search else _list(wanted, after, rows + 1)
    details = queries["details"].rows(ids=[row["id"] for row in found[:rows]])
    is_last = len(found) <= rows
    return Page(details, None if is_last or search else _place(found[rows - 1]))


def counts(customer_id: int, user_id: int) -> dict[str, int]:
    """How many conversations each list has; COUNTED stands for more."""
    found: dict[str, int] = queries["counts"].row(customer_id=customer_id, user_id=user_id, most=COUNTED) or {}
    return {**found, "all": min(COUNTED, found["people"] + found["bot"] + found["closed"])}


def _list(wanted: Filter, after: str, limit: int) -> list[dict[str, Any]]:
    which: dict[str, Any] = {"customer_id": wanted.customer_id, "chatbot_id": wanted.chatbot_id, "channel": wanted.channel}
    if wanted.view == "waiting":
        at, row_id = _read_place(after) or (_FIRST, 0)
        return queries["waiting"].rows(**which, after_at=at, after_id=row_id, limit=limit)
    at, row_id = _read_place(after) or (_LAST, MAX_ROW_ID)
    user_id = wanted.user_id if wanted.view == "mine" else None
    return queries["by_activity"].rows(
        **which, owners=VIEWS[wanted.view], user_id=user_id, before_at=at, before_id=row_id, limit=limit
    )


def _search(wanted: Filter, search: str, limit: int) -> list[dict[str, Any]]:
    text = search[:MAX_SEARCH]
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    number = re.sub(r"[\s+()/-]", "", text)
    is_number = number.isdigit() and len(number) >= 4
    return queries["search"].rows(
        customer_id=wanted.customer_id,
        chatbot_id=wanted.chatbot_id,
        channel=wanted.channel,
        pattern=f"%{escaped}%",
        name_from=number if is_number else None,
        name_to=number + "~" if is_number else None,
        recent=RECENT if wanted.finds_texts else 0,
        limit=limit,
    )


def _place(row: dict[str, Any]) -> str:
    return f"{row['at'].timestamp():.6f}-{row['id']}"


def _read_place(text: str) -> tuple[datetime, int] | None:
    found = re.fullmatch(r"(\d{1,11}\.\d{6})-(\d{1,18})", text)
    return (datetime.fromtimestamp(float(found[1]), UTC), int(found[2])) if found else None
