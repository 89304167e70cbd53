"""The search by meaning and by words, for knowledge bases that have vectors (knowledge_hybrid_v5 in shared/db/vectors.sql).

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


class Floor(NamedTuple):
    """What the best item's cosine has to be, or how far above the base's mean, else the question is about something else.

    Nothing is found then. The cosine is for a base of 200 items; e times as many want `growth` more. Both may be lower by as much
    as `words` where the question's words fit. None: there is no floor.
    """

    cosine: float | None
    lead: float | None
    words: float = 0.0
    growth: float = 0.0


class Floors(NamedTuple):
    """Those of a model. Across languages cosines are lower and say less, and the words of one are seldom those of another."""

    one_language: Floor
    across_languages: Floor


#: Models differ in this: one that nobody has measured has none (workers/README.md, "What vectors find").
FLOORS = {local_model.NAME: Floors(Floor(0.88, 0.0905, words=0.03, growth=0.008), Floor(0.855, 0.04, growth=0.008))}
NO_FLOOR = Floor(None, None)


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
    floor = _floor(base, question)
    values = {
        "knowledge_base_id": base.id,
        "model": model,
        "question": question,
        "before": before,
        "vector": as_literal(vector),
        "context_vector": as_literal(sum_of(vector, earlier, TURN_BEFORE) if earlier else vector),
        "floor": floor.cosine,
        "growth": floor.growth,
        "lead": floor.lead,
        "words": floor.words,
        "characters": characters,
    }
    try:
        [row] = _search.execute([values])
    except peewee.ProgrammingError as problem:  # somebody dropped the extension, or the table
        log.warning("vectors_not_searched", extra={"base": base.id, "model": model, "error": str(problem).splitlines()[0]})
        return None
    return row["items"] or []


def _floor(base: Base, question: str) -> Floor:
    """That of the base's model, by whether the question is in a language of the base's."""
    if base.model not in FLOORS:
        return NO_FLOOR
    floors = FLOORS[base.model]
    if not base.languages or language_of(question, otherwise=base.languages[0]) in base.languages:
        return floors.one_language
    return floors.across_languages
