"""A search of its own, outside the claim of an answer's job: in the words of the model, or for whoever teaches the chatbot.

It finds what an answer would find: by meaning and words where the base has vectors (hybrid.py), else by words.
"""

from __future__ import annotations

from typing import Any

from shared import db
from shared.ai import hybrid
from shared.budgets.meter import Meter, Payer, metering
from shared.models import KnowledgeBase

#: Characters of an item that are shown to whoever teaches.
SHOWN = 2_000


def search(base_id: int, question: str, characters: int = SHOWN) -> list[dict[str, Any]]:
    """The items of a base that fit a question, best first: {id, title, content, score, url}; of each so many characters."""
    has_vectors = (
        (KnowledgeBase.id == base_id) & KnowledgeBase.embedding_model.is_null(False) & KnowledgeBase.embedded_model.is_null(False)
    )
    base = db.row(
        KnowledgeBase.select(KnowledgeBase.id, KnowledgeBase.embedded_model, KnowledgeBase.languages).where(has_vectors)
    )
    if base is not None:
        found = hybrid.search(hybrid.Base(*base.values()), question, None, characters)
        if found is not None:
            return found
    return db.scalar("select knowledge_search_v7(%s, %s, null, %s)", [base_id, question, characters]) or []


def try_out(customer_id: int, base_id: int, question: str) -> list[dict[str, Any]]:
    """The same for whoever teaches the chatbot, who pays for the question's vector. Without a budget for it words have to do."""
    meter = Meter(Payer(customer_id), has_budget=True)
    with metering(meter):
        found = search(base_id, question)
    meter.book()
    return found
