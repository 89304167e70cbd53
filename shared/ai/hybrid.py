"""The search by meaning and by words, for knowledge bases that have vectors (knowledge_hybrid_v3 in shared/db/vectors.sql).

The question's vector is made here, with no connection held; where that fails, the words that the claim found have to do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import peewee

from shared.ai import embeddings, local_model
from shared.ai.vectors import as_literal, sum_of
from shared.db import sql
from shared.db.prepared import Statement
from shared.teaching.languages import language_of

log = logging.getLogger(__name__)

queries = sql.load(__file__)
_search = Statement(queries["search_by_meaning"])

#: How much the turn before counts beside the question: it says what "and how often?" is about.
TURN_BEFORE = 0.4
#: What the best item's cosine has to be, or how far above the mean of the base, else the question is about something else, and
#: nothing is found (workers/README.md, "What vectors find"). Models differ in this: one that nobody has measured has none.
FLOORS = {local_model.NAME: (0.8525, 0.0625)}
NO_FLOOR = (None, None)


class Base(NamedTuple):
    """A knowledge base, the model whose vectors serve, and the languages of its items."""

    id: int
    model: str
    languages: Sequence[str]


def items(loaded: Mapping[str, Any], characters: int) -> list[dict[str, Any]]:
    """The items for an answer, of what workers/ai.sql loaded from a base with vectors: by meaning if it can be, else by words."""
    base = Base(loaded["knowledge_base_id"], loaded["embedded_model"], loaded["knowledge_languages"])
    by_meaning = search(base, loaded["question"], loaded["before"], characters)
    return (loaded["items"] or []) if by_meaning is None else by_meaning


def search(base: Base, question: str, before: str | None, characters: int) -> list[dict[str, Any]] | None:
    """The items of a base that fit a question, best first, as the search by words gives them. None: go by words alone."""
    model = base.model
    vector = embeddings.of_question(model, question)
    if vector is None:
        return None
    earlier = embeddings.of_question(model, before) if before else None
    floor, lead = FLOORS.get(model, NO_FLOOR) if _is_of(base, question) else NO_FLOOR
    values = {
        "knowledge_base_id": base.id,
        "model": model,
        "question": question,
        "before": before,
        "vector": as_literal(vector),
        "context_vector": as_literal(sum_of(vector, earlier, TURN_BEFORE) if earlier else vector),
        "floor": floor,
        "lead": lead,
        "characters": characters,
    }
    try:
        [row] = _search.execute([values])
    except peewee.ProgrammingError as problem:  # somebody dropped the extension, or the table
        log.warning("vectors_not_searched", extra={"base": base.id, "model": model, "error": str(problem).splitlines()[0]})
        return None
    return row["items"] or []


def _is_of(base: Base, question: str) -> bool:
    """Whether a question is in a language of the base's. Across languages cosines are lower, and say less."""
    return base.model not in FLOORS or not base.languages or language_of(question, otherwise=base.languages[0]) in base.languages
