"""Vectors of texts: by any OpenAI-compatible /embeddings, or by the local model (local_model.py).

The model of a knowledge base names both: `text-embedding-3-small` is the provider's, `local:multilingual-e5-small` runs here.
Vectors of two models have nothing to do with each other, so each is kept with its model's name.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from functools import lru_cache

import httpx2
import openai

from shared.ai import local_model
from shared.ai.completion import BYTES_PER_TOKEN, MAX_TOKENS
from shared.ai.failures import ProviderError
from shared.ai.provider import classify_error
from shared.budgets.meter import Most, Unaffordable, metered, most_of_texts
from shared.config import settings
from shared.errors import OutsideFailure, PermanentError, PermanentRefusal, Snooze
from shared.http.httpx_transport import CarriedClient
from shared.telemetry import metrics

log = logging.getLogger(__name__)

Vector = list[float]

#: Texts of one call: what every provider takes, and some 20,000 tokens at most. Of the local model: two seconds of CPU.
BATCH, LOCAL_BATCH = 50, 10
#: Seconds for a batch. Nobody waits for it.
BATCH_TIMEOUT = 60.0
#: What shared/db/vectors.sql keeps.
MAX_DIMENSIONS = 4_000
#: Bytes of an answer: BATCH vectors of MAX_DIMENSIONS numbers of 25 characters.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
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


def sum_of(vector: Vector, other: Vector, weight: float) -> Vector:
    """Both directions in one vector of length 1. Of vectors of different lengths, the first."""
    if len(vector) != len(other):
        return vector
    return _unit([one + weight * two for one, two in zip(vector, other, strict=True)])


def as_literal(vector: Vector) -> str:
    """As pgvector reads it. Its halfvec keeps three to four digits."""
    return "[" + ",".join(f"{number:.5g}" for number in vector) + "]"


def _ask(model: str, texts: Sequence[str], timeout: float) -> list[Vector]:
    body = {"model": model, "input": list(texts), "encoding_format": "float"}
    base_url, key = _address()
    with metered("embedding", base_url, model, Most(most_of_texts(texts))) as call:
        try:
            options = openai.RequestOptions(timeout=timeout)
            response = _client(base_url, key).post("/embeddings", body=body, cast_to=httpx2.Response, options=options)
        except openai.APIError as problem:
            raise classify_error(problem) from problem
        except (httpx2.InvalidURL, UnicodeEncodeError):
            raise PermanentRefusal("embeddings: the base URL or the API key has characters that do not belong there") from None
        vectors, tokens = _vectors(response.content, len(texts))
        call.paid(tokens or sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN)
    return vectors


def _address() -> tuple[str, str]:
    """Base URL and key. The provider's key goes to nobody else."""
    conf = settings()
    is_apart = conf.embedding_base_url not in ("", conf.openai_base_url)
    key = conf.embedding_api_key or ("" if is_apart else conf.openai_api_key)
    if not key:
        raise PermanentError("no API key for embeddings: set EMBEDDING_API_KEY" + ("" if is_apart else " or OPENAI_API_KEY"))
    return conf.embedding_base_url or conf.openai_base_url, key


@lru_cache(maxsize=4)
def _client(base_url: str, api_key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=CarriedClient(MAX_RESPONSE_BYTES))


def _vectors(body: bytes, expected: int) -> tuple[list[Vector], int]:
    """The vectors of an answer, and the tokens that it says it costs."""
    try:
        answer = json.loads(body)
        vectors = [_checked(item["embedding"]) for item in sorted(answer["data"], key=lambda item: int(item["index"]))]
        tokens = int((answer.get("usage") or {}).get("total_tokens") or 0)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as problem:
        raise ProviderError(f"embeddings: not a list of vectors ({type(problem).__name__})") from None
    if len(vectors) != expected or len({len(vector) for vector in vectors}) != 1:
        raise ProviderError(f"embeddings: {len(vectors)} vectors for {expected} texts, or of several lengths")
    tokens = min(MAX_TOKENS, max(0, tokens))
    metrics.increment("tokens", "embedding", by=tokens)
    return vectors, tokens


def _checked(numbers: Sequence[float]) -> Vector:
    vector = [float(number) for number in numbers]
    if len(vector) > MAX_DIMENSIONS:
        raise ValueError("too many dimensions")
    return _unit(vector)


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(number * number for number in vector))
    if not (math.isfinite(length) and length):
        raise ValueError("a vector without a direction")
    return [number / length for number in vector]
