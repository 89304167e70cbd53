"""What came with the messages of a conversation, as its model gets it: the text of documents, and pictures, if it can see.

Pictures go along as data URLs, the newest few only: each costs as much as a page of text, in every answer that it is part of. A
model that refuses them is informed in words that there is one. Those of a colleague do not: providers take them from users only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from shared.ai.prompt import Turn, cut

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


def _quoted(file: dict[str, Any]) -> str:
    name = f" name={file['filename']!r}" if file["filename"] else ""
    return f"<document{name}>\n{cut(file['text'], DOCUMENT_BUDGET)}\n</document>"


def _data_url(file: dict[str, Any], load: Load) -> str | None:
    if file["mime"] not in SEEN or file["storage_key"] is None or (file["size"] or 0) > MAX_BYTES:
        return None
    picture = load(file["storage_key"])
    return f"data:{file['mime']};base64,{base64.b64encode(picture).decode()}" if picture else None
