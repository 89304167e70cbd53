"""The inbox's lists: who waits for a person, mine, people's, the bot's, closed ones; and its search."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

from shared.channels import phone_numbers
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
#: People whose name or number a search may find.
PEOPLE = 2_000
#: Conversations whose texts are looked through at once, and seconds after which a search shows what it has, and where it goes on.
AT_ONCE, SEARCH_SECONDS = 100, 0.08
#: Sorts after whatever may follow a number's first digits (a digit, "@" or ":"), also where the database does not sort by bytes.
_BEHIND = "z"
#: Characters of a visitor's id that tell two of them apart for a person, and most that it has.
SHORT_ID, _LONGEST_ID = 4, 24
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
    #: A visitor's id behind its `w_`, if the search may mean one: the whole, or its first characters, in whatever case.
    visitor: str = ""
    #: Texts as well, and parts of names and numbers: a hit says that they are there. Else one whole name or number.
    finds_texts: bool = True


@dataclass(frozen=True)
class Page:
    """Rows of a list, and where the next page begins; None on the last one. A search has looked at all after `back_to`."""

    rows: list[dict[str, Any]]
    next: str | None
    back_to: datetime | None = None


def page(wanted: Filter, after: str = "", rows: int = PAGE, seconds: float = SEARCH_SECONDS) -> Page:
    """A page of a list, from `next` of the page before. One of a search ends after so many seconds, whatever it has found."""
    if search := wanted.search.strip():
        return _search(wanted, search[:MAX_SEARCH], after, rows, time.monotonic() + seconds)
    found = _list(wanted, after, rows + 1)
    return Page(_details(found[:rows]), _place(found[rows - 1]) if len(found) > rows else None)


def row(conversation: dict[str, Any]) -> dict[str, Any] | None:
    """A conversation as a list shows it, whether or not one does; None if it is gone at this moment."""
    return next(iter(_details([conversation])), None)


def counts(customer_id: int, user_id: int) -> dict[str, int]:
    """How many conversations each list has; COUNTED stands for more."""
    found: dict[str, int] = queries["counts"].row(customer_id=customer_id, user_id=user_id, most=COUNTED) or {}
    return {**found, "all": min(COUNTED, found["people"] + found["bot"] + found["closed"])}


def _list(wanted: Filter, after: str, limit: int) -> list[dict[str, Any]]:
    which: dict[str, Any] = {"customer_id": wanted.customer_id, "chatbot_id": wanted.chatbot_id, "channel": wanted.channel}
    if wanted.view == "waiting":
        at, row_id = _read_place(after) or (_FIRST, 0)
        return queries["waiting"].rows(**which, after_at=at, after_id=row_id, limit=limit)
    user_id = wanted.user_id if wanted.view == "mine" else None
    return queries["by_activity"].rows(**which, owners=VIEWS[wanted.view], user_id=user_id, **_before(after), limit=limit)


def _search(wanted: Filter, search: str, after: str, limit: int, until: float) -> Page:
    """Names and numbers first; then texts, from where somebody wrote last back in time. A place in the texts begins with t."""
    which: dict[str, Any] = {"customer_id": wanted.customer_id, "chatbot_id": wanted.chatbot_id, "channel": wanted.channel}
    what, found = _sought(search, wanted), []
    if not after.startswith("t"):
        found = queries["by_name"].rows(**which, **what, **_before(after), most=PEOPLE, limit=limit + 1)
        if len(found) > limit:
            return Page(_details(found[:limit]), _place(found[limit - 1]))
    if not wanted.finds_texts:
        return Page(_details(found), None)
    if len(found) == limit:
        return Page(_details(found), "t")
    place = after.removeprefix("t") if after.startswith("t") else ""
    while True:
        looked = queries["by_activity"].rows(**which, owners=VIEWS["all"], user_id=None, **_before(place), limit=AT_ONCE)
        hits = queries["by_text"].rows(**what, ids=[row["id"] for row in looked])[: limit - len(found)]
        found += hits
        if len(found) == limit:
            return Page(_details(found), f"t{_place(hits[-1])}", hits[-1]["at"])
        if len(looked) < AT_ONCE:
            return Page(_details(found), None)
        place = _place(looked[-1])
        if time.monotonic() >= until:
            return Page(_details(found), f"t{place}", looked[-1]["at"])


def _sought(search: str, wanted: Filter) -> dict[str, Any]:
    """What the statements look for: any part of a name or text, a number by its first digits, a visitor's id by its beginning.

    Whoever sees names and texts masked has to give a whole name or number: by its parts they would find it out, letter by letter.
    """
    some = "%" if wanted.finds_texts else ""
    behind = _BEHIND if wanted.finds_texts else "\x01"
    ranges = [*((number, number + behind) for number in phone_numbers.beginnings(search)), *_visitors(wanted.visitor)]
    return {
        "pattern": f"{some}{_escaped(search)}{some}",
        "names_from": [begins for begins, _ends in ranges],
        "names_to": [ends for _begins, ends in ranges],
    }


def _visitors(begins: str) -> Iterator[tuple[str, str]]:
    """Of the few first characters each letter in either case: the index knows one."""
    is_whole = len(begins) > SHORT_ID
    for letters in product(*({one} if is_whole else {one.lower(), one.upper()} for one in begins)) if begins else ():
        yield (name := f"w_{''.join(letters)}"), name + _BEHIND * _LONGEST_ID


def _escaped(search: str) -> str:
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _before(after: str) -> dict[str, Any]:
    at, row_id = _read_place(after) or (_LAST, MAX_ROW_ID)
    return {"before_at": at, "before_id": row_id}


def _details(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return queries["details"].rows(ids=[row["id"] for row in found])


def _place(row: dict[str, Any]) -> str:
    return f"{row['at'].timestamp():.6f}-{row['id']}"


def _read_place(text: str) -> tuple[datetime, int] | None:
    found = re.fullmatch(r"(\d{1,11}\.\d{6})-(\d{1,18})", text)
    return (datetime.fromtimestamp(float(found[1]), UTC), int(found[2])) if found else None
