"""The AI provider: any OpenAI-compatible chat completions endpoint. One call, no retries: the queue owns those."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import openai

from shared import http
from shared.config import settings
from shared.errors import OutcomeUnknown, PermanentError, Snooze
from shared.http import ConnectFailed
from shared.payloads import MAX_ID, strip_invalid

#: Seconds to stay away when a provider says 429 and not for how long.
DEFAULT_THROTTLE = 5.0
#: Codes of a 429 that waiting does not cure.
QUOTA_EXHAUSTED = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"}
#: Bytes of a completion: 32,000 tokens (schema.sql, max_tokens) of any alphabet, escaped.
MAX_ANSWER = 1024 * 1024
#: PostgreSQL's integer; who counts more tokens than that counts wrong.
MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Provider:
    """Whom to ask, and how: a chatbot's own settings over the environment's."""

    base_url: str
    api_key: str
    model: str
    temperature: float
    max_tokens: int


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
    """Asks once. Raises Snooze (throttled), PermanentError (bad key, no quota, refused request), or what failed on the way."""
    if not provider.api_key:
        raise PermanentError("no API key: set OPENAI_API_KEY, or give the chatbot its own")
    body = {
        "model": provider.model,
        "messages": messages,
        "temperature": round(provider.temperature, 3),
        "max_tokens": provider.max_tokens,
    }
    try:
        answer = _line(provider.base_url, provider.api_key).ask(body)
    except (ConnectFailed, OutcomeUnknown) as problem:
        raise ProviderError(f"AI provider: no answer: {problem}") from problem
    if not answer.ok:
        raise _classify_error(answer)
    return _completion(answer.json(), provider.model)


class _Line:
    """A provider's address, and the headers of its OpenAI client.

    The calls go through our own door: the client's `post` spends as much on each again as the call itself (and
    `chat.completions.create` four times that, on walking typed dicts), and its pool looks through all connections for each.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        client = openai.OpenAI(base_url=base_url, api_key=api_key)
        given = {**client.default_headers, **client.auth_headers}
        self._headers = {name: value for name, value in given.items() if isinstance(value, str)}
        self._url = f"{str(client.base_url).rstrip('/')}/chat/completions"
        client.close()

    def ask(self, body: dict[str, Any]) -> http.Response:
        """One call. Raises ConnectFailed, OutcomeUnknown."""
        told = json.dumps(body, ensure_ascii=False).encode()
        return http.post(self._url, told, self._headers, settings().ai_timeout, max_bytes=MAX_ANSWER)


_line = lru_cache(maxsize=256)(_Line)


def _classify_error(answer: http.Response) -> Exception:
    """What the provider's refusal means for the job; its words are the provider's, not the customer's."""
    error = _error(answer)
    code, kind = error.get("code"), error.get("type")
    said = f"AI provider: HTTP {answer.status} {code or ''} {str(error.get('message', ''))[:300]}".strip()
    if answer.status == 429 and not {str(code), str(kind)} & QUOTA_EXHAUSTED:
        return Snooze(answer.retry_after(DEFAULT_THROTTLE), said)
    if answer.status in (408, 409) or answer.status >= 500:
        return ProviderError(said)
    return PermanentError(said)


def _error(answer: http.Response) -> dict[str, Any]:
    """The `error` of the answer's body; empty where there is none."""
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


class ProviderError(Exception):
    """The provider failed, or said something that is no completion; it may do better next time."""


def _completion(answer: Any, asked_model: str) -> Completion:
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        said = choice["message"]["content"]
        text = strip_invalid(said.replace("\x00", "")).strip() if isinstance(said, str) else ""
        if not text:
            raise ProviderError(f"AI provider: an empty reply (finish_reason {choice.get('finish_reason')})")
        return Completion(
            text=text,
            model=_name(answer.get("model")) or asked_model,
            prompt_tokens=_tokens(usage.get("prompt_tokens")),
            completion_tokens=_tokens(usage.get("completion_tokens")),
            request_id=_name(answer.get("id")),
            finish_reason=_name(choice.get("finish_reason")),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as problem:
        raise ProviderError(f"AI provider: not a completion ({type(problem).__name__})") from None


def _name(given: Any) -> str | None:
    return strip_invalid(given)[:MAX_ID] if isinstance(given, str) else None


def _tokens(given: Any) -> int:
    return min(MAX_TOKENS, max(0, int(given or 0)))
