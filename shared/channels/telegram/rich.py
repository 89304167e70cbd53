"""Rich messages of Telegram, which are documents: headings, lists, tables, files; what they say.

A message has blocks. A block's text is a text, a list of texts, or an object that says how one looks: {"type": "bold", "text"}.
Source: Bot API 10.3, RichMessage, RichBlock, RichText. A block that is new to us is read for the same members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.channels.inbound import get_objects, get_text

#: Blocks within blocks, texts within texts.
MAX_DEPTH = 16
#: Members of a block that are texts, in the order in which they are read; and those that are blocks again.
_TEXTS, _BLOCKS = ("summary", "text", "expression"), ("blocks", "items", "caption", "credit")


def words_of(message: Any) -> str:
    """A line for each block that says something; "" if there is nothing."""
    return "\n".join(line for block in blocks_of(message) for line in _own_lines(block))


def blocks_of(message: Any, depth: int = MAX_DEPTH) -> Iterator[dict[str, Any]]:
    """All blocks, and those within them, as they stand."""
    for name in _BLOCKS if isinstance(message, dict) and depth else ():
        for block in get_objects(message.get(name)):
            yield block
            yield from blocks_of(block, depth - 1)


def _own_lines(block: dict[str, Any]) -> Iterator[str]:
    """What a block says beside those within it; the rows of a table."""
    texts = [_plain(block.get(name)) for name in _TEXTS]
    rows = block.get("cells")
    for row in rows if isinstance(rows, list) else ():
        texts.append(" | ".join(_plain(cell.get("text")) for cell in get_objects(row)))
    yield from (text.strip() for text in texts if text.strip(" |"))


def _plain(text: Any, depth: int = MAX_DEPTH) -> str:
    """A text without its looks; the address of a link behind its words."""
    if isinstance(text, list) and depth:
        return "".join(_plain(part, depth - 1) for part in text)
    if not isinstance(text, dict) or not depth:
        return text if isinstance(text, str) else ""
    words = _plain(text.get("text"), depth - 1) or get_text(text, "alternative_text") or get_text(text, "expression")
    url = get_text(text, "url")
    return f"{words} ({url})" if url and url not in words else words
