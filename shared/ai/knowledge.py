"""What a chatbot knows: the items of its own knowledge base that fit a question (knowledge_search_v3 in schema.sql)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One piece of knowledge. `score`: how well it fits the question, beside other items. `url`: a link that answers may show."""

    id: int
    title: str
    content: str
    score: float = 0.0
    url: str | None = None
