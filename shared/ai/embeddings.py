"""Vectors of texts: by any OpenAI-compatible /embeddings, or by the local model (local_model.py).

The model of a knowledge base names both: `text-embedding-3-small` is the provider's, `local:multilingual-e5-small` runs here.
Vectors of two models have nothing to do with each other, so each is kept with its model's name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import lru_cache

from shared.ai import local_model
from shared.ai.vectors import Vector
from shared.budgets.meter import Unaffordable
from shared.config import settings
from shared.errors import OutsideFailure, PermanentError, Snooze
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Texts of one call: what every provider takes, and some 20,000 tokens at most. Of the local model: two seconds of CPU.
BATCH, LOCAL_BATCH = 50, 10
#: Seconds for a batch. Nobody waits for it.
BATCH_TIMEOUT = 60.0
#: Characters of a question that are embedded, half from its beginning and half from its end: of the local model 0.3 ms each.
MAX_QUESTION = 800
#: Questions of a process whose vectors are kept: the turn before is asked for again with each follow-up.
REMEMBERED = 500
#: Seconds for which a model that failed is asked for no question's vector, so that not every customer waits for it.
REST = 15.0

_resting_until: dict[str, float] = {}


def batch_size(model: str) -> int:
    """Texts to be given to `of_texts` at once."""
    return LOCAL_BATCH if model == local_model.NAME else BATCH


def of_texts(model: str, texts: Sequence[str]) -> list[Vector]:
    """A vector of each text. Raises as provider.complete does, and Unaffordable."""
    if model.startswith("local:"):
        return local_model.of_texts(model, texts)
    return _ask(model, texts, BATCH_TIMEOUT) if texts else []


def of_question(model: str, question: str) -> Vector | None:
    """The vector of a question; None if it cannot be had in time. Never fails: words find most of it."""
    if time.monotonic() < _resting_until.get(model, 0.0):
        return None
    try:
        vector = _of_question(model, _shortened(question))
    except Unaffordable:  # of one customer, and nothing is wrong with the model
        return None
    except Exception as problem:  # whatever it is, it must not cost the customer the reply
        _resting_until[model] = time.monotonic() + REST
        reason = str(problem) if isinstance(problem, OutsideFailure | PermanentError | Snooze) else type(problem).__name__
        log.warning("question_not_embedded", extra={"model": model, "error": reason})
        metrics.increment("question_vectors", "failed")
        return None
    metrics.increment("question_vectors", "made")
    return vector


@lru_cache(maxsize=REMEMBERED)
def _of_question(model: str, question: str) -> Vector:
    if model.startswith("local:"):
        return local_model.of_question(model, question)
    return _ask(model, [question], settings().embedding_timeout)[0]


def _shortened(question: str) -> str:
    half = MAX_QUESTION // 2
    return question if len(question) <= MAX_QUESTION else f"{question[:half]} {question[-half:]}"


def forget() -> None:
    """Asks again, and at once. For programs that change their environment: tests and bench."""
    _resting_until.clear()
    _of_question.cache_clear()


def _ask(model: str, texts: Sequence[str], timeout: float) -> list[Vector]:
    from shared.ai import embedding_calls  # the openai client, and 30 MB with it

    return embedding_calls.ask(model, texts, timeout)
