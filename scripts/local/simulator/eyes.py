"""What the simulated AI sees: the pictures of a conversation, by the names that are written in them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

#: Begins a PNG's text called "name", as the simulator's own pictures have it.
_NAME = b"tEXtname\x00"


def as_texts(messages: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The messages with plain contents: those in parts have a note of each picture."""
    return [{**message, "content": _text(message.get("content"))} for message in messages]


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content or ""
    return "\n".join(part.get("text") or f"[I see {_seen(part)}.]" for part in content)


def _seen(part: dict[str, Any]) -> str:
    url = str((part.get("image_url") or {}).get("url", ""))
    picture = base64.b64decode(url.partition("base64,")[2])
    at = picture.find(_NAME)
    if at < 0:
        return f"a picture of {len(picture)} bytes"
    length = int.from_bytes(picture[at - 4 : at], "big") + len(b"tEXt")
    return picture[at : at + length].removeprefix(_NAME).decode()
