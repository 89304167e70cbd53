"""What came with the messages of a conversation, as its model gets it: the text of documents, and pictures, if it can see.

Pictures go along as data URLs, the newest few only: each costs as much as a page of text, in every answer that it is part of. A
model that refuses them is informed in words that there is one. Those of a colleague do not: providers take them from users only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from shared.ai.prompt import Turn, cut
from shared.media import in_memory

#: Pictures of one prompt, of its newest turns.
MAX_PICTURES, TURNS = 4, 6
#: Bytes of a picture; phones send some 200,000, and providers take 5 to 20 million.
MAX_BYTES = 4 * 1024 * 1024
#: Characters of a document: four pages, as of an item of knowledge.
DOCUMENT_BUDGET = 8_000
#: What a model is shown (also shared/ai/understanding.py).
SEEN = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})

#: The bytes of a stored file, None if it is there no longer.
Load = Callable[[str], bytes | None]


def attached(turns: Sequence[Turn], load: Load | None) -> list[Turn]:
    """The turns with what came with them. `load` None: their models cannot see."""
    complete, pictures_left = list[Turn](), MAX_PICTURES
    for age, turn in enumerate(reversed(turns)):
        text, pictures = turn.text, list[str]()
        for file in turn.files or ():
            if file["text"]:
                text = f"{text}\n\n{_quoted(file)}"
            elif (
                load is not None
                and turn.role == "user"
                and age < TURNS
                and len(pictures) < pictures_left
                and (url := _data_url(file, load))
            ):
                pictures.append(url)
        pictures_left -= len(pictures)
        complete.append(turn._replace(text=text, pictures=tuple(pictures)))
    return complete[::-1]


def bytes_of(turns: Sequence[Turn]) -> int:
    """Of the pictures that go along, as they are stored."""
    newest = [turn for turn in reversed(turns[-TURNS:]) if turn.role == "user"]
    return sum([file["size"] or 0 for turn in newest for file in turn.files or () if _is_shown(file)][:MAX_PICTURES])


def room(customer: Hashable, turns: Sequence[Turn], age: float) -> AbstractContextManager[None]:
    """Room in memory for the pictures that go along. Raises NoRoomInMemory, for a job that is `age` old."""
    return in_memory.hold(customer, bytes_of(turns), age)


def _quoted(file: dict[str, Any]) -> str:
    name = f" name={file['filename']!r}" if file["filename"] else ""
    return f"<document{name}>\n{cut(file['text'], DOCUMENT_BUDGET)}\n</document>"


def _is_shown(file: dict[str, Any]) -> bool:
    is_known = file["mime"] in SEEN and file["storage_key"] is not None
    return is_known and not file["text"] and (file["size"] or 0) <= MAX_BYTES


def _data_url(file: dict[str, Any], load: Load) -> str | None:
    picture = load(file["storage_key"]) if _is_shown(file) else None
    return f"data:{file['mime']};base64,{base64.b64encode(picture).decode()}" if picture else None
