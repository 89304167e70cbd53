"""What a chatbot knows: the items of its own knowledge base that fit a question (knowledge_search_v2 in schema.sql)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One piece of knowledge."""

    id: int
    title: str
    content: str
