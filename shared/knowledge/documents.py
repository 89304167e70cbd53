"""What a document says: the one shape that every reader returns, and why one cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath

from shared.errors import PermanentRefusal

#: Bytes of a file, and of a page. The column of uploads has the same limit.
MAX_FILE = 20 * 1024 * 1024
MAX_PAGE = 5 * 1024 * 1024
#: Items of one document: rows of a table, parts of a text. Who has more has several topics, and several files.
MAX_ITEMS = 20_000
#: Characters of all of its items: those of the largest file that is a text, and of their titles.
MAX_TEXT = 25_000_000
#: How it is said that a business has as many as it may have (workers/knowledge_import.py), behind what else there is to say.
LEFT_OUT = "were left out, for "


class Unreadable(PermanentRefusal):
    """A document that cannot be read. The text is for its owner: what is wrong, and what to do."""


@dataclass(frozen=True)
class Item:
    """What becomes a knowledge item."""

    title: str
    content: str
    url: str | None = None
    #: One of shared.teaching.languages, "" where it cannot be detected.
    language: str = ""


@dataclass
class Document:
    """The text of a file or page."""

    title: str
    items: list[Item]
    #: Its language by its own word, like "de" or "pt-BR".
    language: str | None = None
    #: What was left out, for its owner.
    warning: str | None = None
    #: Of a page: the address that it calls its own, whether it wants not to be indexed.
    canonical: str | None = None
    noindex: bool = False

    @property
    def characters(self) -> int:
        """Of all of its items."""
        return sum(len(item.title) + len(item.content) for item in self.items)


@dataclass(frozen=True)
class Raw:
    """Bytes that somebody gave, and what is known about them."""

    name: str
    body: bytes = field(repr=False)
    media_type: str = ""
    url: str | None = None


def stem(name: str) -> str:
    """A file's name as a title."""
    return re.sub(r"[_-]+", " ", PurePath(name).stem).strip() or name
