"""The AI provider: any OpenAI-compatible chat completions endpoint. One call, no retries: the queue retries.

The openai client makes the call, over a transport of our HTTP room. Of its interface we use `post`: `chat.completions.create`
spends four times the CPU on checking dicts that we have built and a response of which we read six fields
(`scripts/bench provider-call` measures it).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx2
import openai

from shared.config import settings
from shared.errors import OutsideFailure, PermanentError, PermanentRefusal, Snooze
from shared.http import code_of, retry_after
from shared.http.httpx_transport import CarriedClient
from shared.payloads import MAX_ID, strip_invalid

#: Seconds to stay away when a provider says 429 and not for how long.
DEFAULT_THROTTLE = 5.0
#: Codes of a 429 that waiting does not cure.
QUOTA_EXHAUSTED = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"}
#: Bytes of a completion: 32,000 tokens (schema.sql, max_tokens) of any alphabet, escaped.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Characters of a provider's error message that are kept.
MAX_ERROR = 300
#: PostgreSQL's integer. A provider that counts more tokens than that has miscounted.
MAX_TOKENS = 2**31 - 1


class ProviderError(OutsideFailure):
    """The provider failed, or its response is no completion. The next attempt may succeed."""


class NoAnswer(ProviderError):
    """There was no connection, or no whole response in time."""


class Throttled(Snooze):
    """The provider takes no more for now (429); `retry_after`: for how many seconds, if it says so (shared/ai/patience.py)."""

    def __init__(self, reason: str, words: str, header: str | None) -> None:
        seconds = retry_after(header, math.nan)
        self.retry_after = None if math.isnan(seconds) else seconds
        super().__init__(self.retry_after or DEFAULT_THROTTLE, reason)
        self.words = words


@dataclass(frozen=True)
class Provider:
    """Whom to ask, and how: a chatbot's own settings, or else those of the environment."""

    base_url: str
    api_key: str
    model: str
    temperature: float
    max_tokens: int
    #: Seconds for the whole call; 0: AI_TIMEOUT_SECONDS.
    timeout: float = 0.0
    #: Whether it is a chatbot's own, whose address a customer gave.
    is_own: bool = False


@dataclass(frozen=True)
class Completion:
    """The provider's reply and its price in tokens."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    request_id: str | None
    finish_reason: str | None


def complete(provider: Provider, messages: list[dict[str, str]]) -> Completion:
    """Asks once. Raises Throttled, PermanentRefusal (bad key, no quota, refused request), ProviderError, or PermanentError.

    Their texts are ours; the provider's words, which may repeat the prompt, are apart.
    """
    if not provider.api_key:
        raise PermanentError("no API key: set OPENAI_API_KEY, or give the chatbot its own")
    body = {
        "model": provider.model,
        "messages": messages,
        "temperature": round(provider.temperature, 3),
        "max_tokens": provider.max_tokens,
    }
    try:
        client = _client(provider.base_url, provider.api_key, not provider.is_own or settings().webhooks_to_private)
        options = openai.RequestOptions(timeout=provider.timeout or settings().ai_timeout)
        response = client.post("/chat/completions", body=body, cast_to=httpx2.Response, options=options)
    except openai.APIError as problem:
        raise classify_error(problem) from problem
    except (httpx2.InvalidURL, UnicodeEncodeError):
        raise PermanentRefusal("AI provider: the base URL or the API key has characters that do not belong there") from None
    return _completion(response.content, provider.model)


#: By whether private addresses may be called.
_http_clients = {allow: CarriedClient(MAX_RESPONSE_BYTES, allow_private=allow) for allow in (True, False)}


@lru_cache(maxsize=256)
def _client(base_url: str, api_key: str, allow_private: bool) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=_http_clients[allow_private])


def classify_error(problem: openai.APIError) -> Exception:
    """What the client's error means for the job."""
    match problem:
        case openai.APIConnectionError():  # APITimeoutError is one
            return NoAnswer(f"AI provider: no answer: {problem.__cause__ or problem}")
        case openai.RateLimitError() if not {str(problem.code), str(problem.type)} & QUOTA_EXHAUSTED:
            return Throttled(*_describe(problem), problem.response.headers.get("Retry-After"))
        case openai.InternalServerError() | openai.ConflictError() | openai.APIStatusError(status_code=408):
            return ProviderError(*_describe(problem))
        case openai.APIStatusError():  # 400, 401, 403, 404, 422, a spent quota and whatever else
            return PermanentRefusal(*_describe(problem))
        case _:
            return ProviderError(f"AI provider: {type(problem).__name__}")


def _describe(problem: openai.APIStatusError) -> tuple[str, str]:
    """Status and code, and the provider's words."""
    message = problem.body.get("message", "") if isinstance(problem.body, dict) else ""
    return f"AI provider: HTTP {problem.status_code} {code_of(problem.code)}".strip(), str(message)[:MAX_ERROR]


def _completion(body: bytes, requested_model: str) -> Completion:
    try:
        answer = json.loads(body)
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        content = choice["message"]["content"]
        text = strip_invalid(content.replace("\x00", "")).strip() if isinstance(content, str) else ""
        if not text:
            raise ProviderError(f"AI provider: an empty reply (finish_reason {code_of(choice.get('finish_reason')) or 'none'})")
        return Completion(
            text=text,
            model=_name(answer.get("model")) or requested_model,
            prompt_tokens=_tokens(usage.get("prompt_tokens")),
            completion_tokens=_tokens(usage.get("completion_tokens")),
            request_id=_name(answer.get("id")),
            finish_reason=_name(choice.get("finish_reason")),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as problem:
        raise ProviderError(f"AI provider: not a completion ({type(problem).__name__})") from None


def _name(value: Any) -> str | None:
    return strip_invalid(value)[:MAX_ID] if isinstance(value, str) else None


def _tokens(value: Any) -> int:
    return min(MAX_TOKENS, max(0, int(value or 0)))
