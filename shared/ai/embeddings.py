"""Vectors of texts: by any OpenAI-compatible /embeddings, or by the local model (local_model.py).

The model of a knowledge base names both: `text-embedding-3-small` is the provider's, `local:multilingual-e5-small` runs here.
Vectors of two models have nothing to do with each other, so each is kept with its model's name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache

import httpx2
import openai

from shared.ai import provider
from shared.config import settings
from shared.errors import PermanentError, PermanentRefusal
from shared.http.httpx_transport import CarriedClient
from shared.telemetry import metrics

Vector = list[float]

#: Texts of one call: what every provider takes, and some 20,000 tokens at most.
BATCH = 50
#: Seconds for a batch. Nobody waits for it.
BATCH_TIMEOUT = 60.0
#: What vectors.sql keeps.
MAX_DIMENSIONS = 4_000
#: Bytes of an answer: BATCH vectors of MAX_DIMENSIONS numbers of 25 characters.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024


def batch_size(model: str) -> int:  # noqa: ARG001 - the local model's is smaller
    """Texts to be given to `of_texts` at once."""
    return BATCH


def of_texts(model: str, texts: Sequence[str]) -> list[Vector]:
    """A vector of each text. Raises as provider.complete does."""
    return _ask(model, texts, BATCH_TIMEOUT) if texts else []


def as_literal(vector: Vector) -> str:
    """As pgvector reads it. Its halfvec keeps three to four digits."""
    return "[" + ",".join(f"{number:.5g}" for number in vector) + "]"


def _ask(model: str, texts: Sequence[str], timeout: float) -> list[Vector]:
    body = {"model": model, "input": list(texts), "encoding_format": "float"}
    try:
        options = openai.RequestOptions(timeout=timeout)
        response = _client(*_address()).post("/embeddings", body=body, cast_to=httpx2.Response, options=options)
    except openai.APIError as problem:
        raise provider.classify_error(problem) from problem
    except (httpx2.InvalidURL, UnicodeEncodeError):
        raise PermanentRefusal("embeddings: the base URL or the API key has characters that do not belong there") from None
    return _vectors(response.content, len(texts))


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


def _vectors(body: bytes, expected: int) -> list[Vector]:
    try:
        answer = json.loads(body)
        vectors = [_checked(item["embedding"]) for item in sorted(answer["data"], key=lambda item: int(item["index"]))]
        tokens = int((answer.get("usage") or {}).get("total_tokens") or 0)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as problem:
        raise provider.ProviderError(f"embeddings: not a list of vectors ({type(problem).__name__})") from None
    if len(vectors) != expected or len({len(vector) for vector in vectors}) != 1:
        raise provider.ProviderError(f"embeddings: {len(vectors)} vectors for {expected} texts, or of several lengths")
    metrics.increment("tokens", "embedding", by=max(0, tokens))
    return vectors


def _checked(numbers: Sequence[float]) -> Vector:
    vector = [float(number) for number in numbers]
    length = math.sqrt(sum(number * number for number in vector))
    if not (math.isfinite(length) and length) or len(vector) > MAX_DIMENSIONS:
        raise ValueError("not a vector")
    return [number / length for number in vector]
