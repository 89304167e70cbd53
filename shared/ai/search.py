"""What a chatbot would find for a question: the same search as an answer's, for whoever teaches it."""

from __future__ import annotations

from typing import Any

from shared import db

#: Characters of an item that are shown.
SHOWN = 2_000


def search(base_id: int, question: str) -> list[dict[str, Any]]:
    """The items of a base that fit a question, best first: {id, title, content}."""
    statement = "select knowledge_search_v2(id, language, %s, %s) from knowledge_base where id = %s"
    return db.scalar(statement, [question, SHOWN, base_id]) or []
