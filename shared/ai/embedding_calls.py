"""Vectors by an OpenAI-compatible /embeddings. Loaded where a knowledge base names a provider's model (embeddings.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import httpx2
import openai

from shared.ai.clients import CarriedClient
from shared.ai.completion import BYTES_PER_TOKEN, MAX_TOKENS
from shared.ai.failures import ProviderError
from shared.ai.provider import classify_error
from shared.ai.vectors import Vector, unit
from shared.budgets.meter import Most, metered, most_of_texts
from shared.config import settings
from shared.errors import PermanentError, PermanentRefusal
from shared.telemetry import metrics

#: What shared/db/vectors.sql keeps.
MAX_DIMENSIONS = 4_000
#: Bytes of an answer: BATCH vectors of MAX_DIMENSIONS numbers of 25 characters.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024


def ask(model: str, texts: Sequence[str], timeout: float) -> list[Vector]:
    """A vector of each text, by one call. Raises as provider.complete does, and Unaffordable."""
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
    return unit(vector)
