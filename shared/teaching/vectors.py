"""Which model makes a knowledge base's vectors, and how far they are (workers/knowledge_embed.py makes them)."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import fn

from shared import db
from shared.models import KnowledgeBase, KnowledgeEmbedding, KnowledgeItem


@dataclass(frozen=True)
class Vectors:
    """`model` is wanted, `serving` is the one whose vectors are searched; `items_done` of `items` have those that are wanted."""

    model: str | None
    serving: str | None
    error: str | None
    items: int
    items_done: int


def state(base_id: int) -> Vectors | None:
    """How far a base is; None: there is no such base."""
    columns = (KnowledgeBase.embedding_model, KnowledgeBase.embedded_model, KnowledgeBase.embedding_error)
    items = KnowledgeItem.select(fn.COUNT(KnowledgeItem.id)).where(KnowledgeItem.knowledge_base == base_id)
    base = db.row(KnowledgeBase.select(*columns, items.alias("items")).where(KnowledgeBase.id == base_id))
    if base is None:
        return None
    model, serving, error, count = base.values()
    return Vectors(model, serving if model else None, error if model else None, count, _items_done(base_id, model))


def _items_done(base_id: int, model: str | None) -> int:
    if model is None or db.scalar("select to_regclass('knowledge_embedding')") is None:  # a PostgreSQL without pgvector
        return 0
    own = (KnowledgeEmbedding.knowledge_base == base_id) & (KnowledgeEmbedding.model == model)
    return int(db.scalar(KnowledgeEmbedding.select(fn.COUNT(fn.DISTINCT(KnowledgeEmbedding.item))).where(own)))


def choose(base_id: int, model: str | None) -> None:
    """Has the vectors made by a model, or by none; the same model again tries once more what failed."""
    db.rows(KnowledgeBase.update(embedding_model=model).where(KnowledgeBase.id == base_id))
