"""Cuts a reply that is too long for its channel into several messages."""

from __future__ import annotations

#: Where a text may be cut, the best place first, with what of it stays with the part before.
_BREAKS = (("\n\n", ""), ("\n", ""), (". ", "."), (" ", ""))


def split_message(text: str, limit: int) -> list[str]:
    """The text in parts of at most `limit` UTF-16 units, cut between paragraphs, lines, sentences or words."""
    parts = []
    while (head := _head(text, limit)) != text:
        part, rest = _cut(head)
        parts.append(part)
        text = (rest + text[len(head) :]).lstrip()
    return [part for part in (*parts, text) if part] or [text]


def _head(text: str, limit: int) -> str:
    return text if 2 * len(text) <= limit else text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")


def _cut(head: str) -> tuple[str, str]:
    """Cuts at the last break in the second half of what fits, so that parts stay few; at its end if there is none."""
    for mark, stays in _BREAKS:
        at = head.rfind(mark, len(head) // 2)
        if at >= 0:
            return head[:at].rstrip() + stays, head[at + len(mark) :]
    return head, ""
