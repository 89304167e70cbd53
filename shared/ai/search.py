"""What a question finds: by meaning as well as by words where its knowledge base has vectors (knowledge_hybrid_v6 in
shared/db/vectors.sql), else by words alone (knowledge_search_v8 in schema.sql).

Where that takes some milliseconds, the claim of an answer's job has searched already (workers/ai.sql). The question's vector is
made here, with no connection held; where that fails, words have to do.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import peewee
from peewee import Case

from shared import db
from shared.ai import embeddings, local_model
from shared.ai.context import Context
from shared.ai.vectors import as_literal, sum_of
from shared.budgets.meter import Meter, Payer, metering
from shared.config import settings
from shared.db import sql
from shared.db.prepared import Statement
from shared.models import KnowledgeBase
from shared.teaching.languages import language_of

log = logging.getLogger(__name__)

queries = sql.load(__file__)
_search_by_meaning = Statement(queries["search_by_meaning"])

#: Characters of an item that are shown to whoever teaches.
SHOWN = 2_000

#: How much the turn before counts beside the question: it says what "and how often?" is about.
TURN_BEFORE = 0.4
#: Characters from which on a message may have much in it that is not its question.
LONG_MESSAGE = 150
#: The share of such a message up to which its questions are worth a vector of their own.
MOST_ASKED = 0.6
_SENTENCE_ENDS = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_ASKS = re.compile(r"[?？؟][\s\"'»”“)*_]*\Z")


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
FLOORS = {local_model.NAME: Floors(Floor(0.88, 0.0905, words=0.03, growth=0.008), Floor(0.855, 0.041, growth=0.008))}
NO_FLOOR = Floor(None, None)


class Base(NamedTuple):
    """A knowledge base, whose it is, the model whose vectors serve (None: it has none), and the languages of its items."""

    id: int
    customer_id: int
    model: str | None
    languages: Sequence[str]


@lru_cache(maxsize=1_000)
def _connections_for(customer_id: int) -> threading.Semaphore:  # noqa: ARG001 - each customer has its own
    """A customer's searches, which may take long, have half of the process's connections at the most."""
    return threading.Semaphore(max(1, settings().db_pool_size // 2))


def items_of(context: Context, customer_id: int, characters: int) -> list[dict[str, Any]]:
    """The items for an answer whose claim has left the search to us, for it may take long."""
    base_id, question = context["knowledge_base_id"], context["question"]
    if base_id is None or question is None:
        return []
    base = Base(base_id, customer_id, context["embedded_model"], context["knowledge_languages"] or ())
    return _found(base, question, context["before"], characters)


def search(base_id: int, question: str, characters: int = SHOWN) -> list[dict[str, Any]]:
    """A search of its own, outside a claim, in the model's words or for whoever teaches: the items of a base that fit a question,
    best first: {id, title, content, score, url}; of each so many characters."""
    model = Case(None, [(KnowledgeBase.embedding_model.is_null(False), KnowledgeBase.embedded_model)])
    columns = (KnowledgeBase.id, KnowledgeBase.customer, model, KnowledgeBase.languages)
    base = db.row(KnowledgeBase.select(*columns).where(KnowledgeBase.id == base_id))
    return _found(Base(*base.values()), question, None, characters) if base is not None else []


def _found(base: Base, question: str, before: str | None, characters: int) -> list[dict[str, Any]]:
    found = by_meaning(base, question, before, characters)
    if found is None:
        with _connections_for(base.customer_id):
            found = db.scalar("select knowledge_search_v8(%s, %s, %s, %s)", [base.id, question, before, characters])
    return found or []


def try_out(customer_id: int, base_id: int, question: str) -> list[dict[str, Any]]:
    """The same for whoever teaches the chatbot, who pays for the question's vector. Without a budget for it words have to do."""
    meter = Meter(Payer(customer_id), has_budget=True)
    with metering(meter):
        found = search(base_id, question)
    meter.book()
    return found


def by_meaning(base: Base, question: str, before: str | None, characters: int) -> list[dict[str, Any]] | None:
    """The items of a base that fit a question, by meaning as well as by words. None: it cannot be had, go by words alone."""
    model = base.model
    if model is None:
        return None
    question, before = _respelt(base, question, before)
    vector = embeddings.of_question(model, question)
    if vector is None:
        return None
    asked = asked_in(question)
    topic = (embeddings.of_question(model, asked) if asked else None) or vector
    earlier = embeddings.of_question(model, before) if before else None
    floor = _floor(base, question)
    values = {
        "knowledge_base_id": base.id,
        "model": model,
        "question": question,
        "before": before,
        "vector": as_literal(vector),
        "context_vector": as_literal(sum_of(topic, earlier, TURN_BEFORE) if earlier else topic),
        "floor": floor.cosine,
        "growth": floor.growth,
        "lead": floor.lead,
        "words": floor.words,
        "characters": characters,
    }
    try:
        with _connections_for(base.customer_id):
            [row] = _search_by_meaning.execute([values])
    except peewee.ProgrammingError as problem:  # somebody dropped the extension, or the table
        log.warning("vectors_not_searched", extra={"base": base.id, "model": model, "error": str(problem).splitlines()[0]})
        return None
    return row["items"] or []


def asked_in(message: str) -> str | None:
    """The questions of a long message; None if it has none, or is little else.

    The vector of 70 words of greeting and thanks around a question is about greeting and thanks.
    """
    if len(message) < LONG_MESSAGE:
        return None
    asked = " ".join(sentence.strip() for sentence in _SENTENCE_ENDS.split(message) if _ASKS.search(sentence))
    return asked if 0 < len(asked) <= MOST_ASKED * len(message) else None


def _respelt(base: Base, question: str, before: str | None) -> tuple[str, str | None]:
    """Both with the base's words for those that are a slip away: the vector of a garbled text is far from everything.

    The words of another language are no slips.
    """
    with _connections_for(base.customer_id):
        [spelt] = queries["respelt"].rows(knowledge_base_id=base.id, question=question, before=before)
    is_changed = (spelt["question"], spelt["before"]) != (question, before)
    return (spelt["question"], spelt["before"]) if is_changed and _is_in_one_of(base, question) else (question, before)


def _floor(base: Base, question: str) -> Floor:
    """That of the base's model, by whether the question is in a language of the base's."""
    if base.model not in FLOORS:
        return NO_FLOOR
    floors = FLOORS[base.model]
    return floors.one_language if _is_in_one_of(base, question) else floors.across_languages


def _is_in_one_of(base: Base, question: str) -> bool:
    """Whether a question is in a language of the base's, for all that one can tell."""
    return not base.languages or language_of(question, otherwise=base.languages[0]) in base.languages
