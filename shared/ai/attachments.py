"""What came with the messages of a conversation, as its model gets it: the text of documents, and pictures, if it can see.

Pictures go along as data URLs, the newest few only: each costs as much as a page of text, in every answer that it is part of. A
model that refuses them is informed in words that there is one. Those of a colleague do not: providers take them from users only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from shared.ai.prompt import Message, Turn, cut

#: Pictures of one prompt, of its newest turns.
MAX_PICTURES, TURNS = 4, 6
#: Bytes of a picture; phones send some 200,000, and providers take 5 to 20 million.
MAX_BYTES = 4 * 1024 * 1024
#: Characters of a document: four pages, as of an item of knowledge.
DOCUMENT_BUDGET = 8_000
#: What a model is shown (also shared/ai/understanding.py).
SEEN = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
UNSEEN = "[The customer sent a picture here, which you cannot see.]"

#: The bytes of a stored file, None if it is there no longer.
Load = Callable[[str], bytes | None]


def turns(history: Sequence[Sequence[Any]], load: Load | None) -> list[Turn]:
    """The turns of a claim (workers/ai.sql) with what came with them. `load` None: its models cannot see."""
    complete, pictures_left = list[Turn](), MAX_PICTURES
    for age, (role, text, time, author, files, *more) in enumerate(reversed(history)):
        pictures = list[str]()
        for file in files or ():
            if file["text"]:
                text = f"{text}\n\n{_quoted(file)}"
            elif (
                load is not None
                and role == "user"
                and age < TURNS
                and len(pictures) < pictures_left
                and (url := _data_url(file, load))
            ):
                pictures.append(url)
        pictures_left -= len(pictures)
        complete.append(Turn(role, text, time, author, tuple(pictures), *more))
    return complete[::-1]


def _quoted(file: dict[str, Any]) -> str:
    name = f" name={file['filename']!r}" if file["filename"] else ""
    return f"<document{name}>\n{cut(file['text'], DOCUMENT_BUDGET)}\n</document>"


def _data_url(file: dict[str, Any], load: Load) -> str | None:
    if file["mime"] not in SEEN or file["storage_key"] is None or (file["size"] or 0) > MAX_BYTES:
        return None
    picture = load(file["storage_key"])
    return f"data:{file['mime']};base64,{base64.b64encode(picture).decode()}" if picture else None


def as_parts(messages: Sequence[Message], *, can_see: bool) -> list[Message]:
    """The messages as they are sent: those with pictures in parts, or with a note in place of each."""
    return [_in_parts(message, can_see) if "pictures" in message else message for message in messages]


def _in_parts(message: Message, can_see: bool) -> Message:
    role, text, pictures = message["role"], message["content"], message["pictures"]
    if not can_see:
        return {"role": role, "content": "\n".join([text, *[UNSEEN] * len(pictures)])}
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return {"role": role, "content": [{"type": "text", "text": text}, *shown]}
