"""The same thing in the words of many providers: a context that is full, a day's quota, money that is gone, a model that is away.

The sentences are those of OpenAI, Azure, Anthropic, Gemini, Mistral, Groq, DeepSeek, OpenRouter, Together, Cerebras, xAI,
Moonshot, Zhipu, MiniMax, DashScope, watsonx, NVIDIA, GitHub Models, Ollama, vLLM, llama.cpp, LM Studio and TGI. Few of them have
a code that says it, so there is no other way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.local.simulator.client import Simulator
from shared.ai import lessons, provider, refusals, waits
from shared.errors import OutsideFailure, Snooze

#: By what they have in common: what is expected, then the answer, in the vendors' own sentences.
ERRORS = json.loads(Path(__file__).with_name("provider_errors.json").read_text(encoding="utf-8"))
TOOL = {"type": "function", "function": {"name": "hand_over", "description": "To a person.", "parameters": {"type": "object"}}}


@pytest.fixture(autouse=True)
def system(request: pytest.FixtureRequest) -> None:
    """A system of its own for what asks a provider."""
    if "simulator" in request.fixturenames:
        request.getfixturevalue("environment")


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def failure(simulator: Simulator, status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """What the first question ends with, each time that it is refused so."""
    simulator.faults([{"kind": "ai", "fault": "status", "status": status, "body": body, "headers": headers or {}}])
    asked = provider.Provider(f"{simulator.url}/v1", "sk", "m", 0.3, 500)
    with pytest.raises((OutsideFailure, Snooze)) as failed:
        provider.complete(asked, [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "do you ship?"}])
    return failed.value


# One test for each table, and not for each sentence: an environment takes a second.


def test_a_full_context_in_anybodys_words(simulator: Simulator) -> None:
    met = [failure(simulator, status, body) for status, body in ERRORS["too_long"]]
    wrong = [row for row, failed in zip(ERRORS["too_long"], met, strict=True) if not isinstance(failed, provider.ContextTooLong)]
    assert wrong == []
    assert len(simulator.record("ai")) == len(met), "another form of the same prompt is as long"


def test_how_long_to_wait_in_anybodys_words(simulator: Simulator) -> None:
    for seconds, body, headers in ERRORS["throttled"]:
        throttled = failure(simulator, 429, body, headers)
        assert isinstance(throttled, provider.Throttled), body
        assert throttled.retry_after == (seconds if seconds is None else pytest.approx(seconds)), body


def meaning(status: int, words: str) -> Exception:
    return refusals.failure_of(refusals.read(status, json.dumps(error(words), ensure_ascii=False).encode(), {}))


@pytest.mark.parametrize("words", ERRORS["too_long_elsewhere"])
def test_a_full_context_in_any_language(words: str) -> None:
    assert isinstance(meaning(400, words), provider.ContextTooLong)


@pytest.mark.parametrize(("status", "words"), ERRORS["not_too_long"])
def test_what_only_sounds_like_a_full_context(status: int, words: str) -> None:
    assert type(meaning(status, words)) is (provider.Throttled if status == 429 else provider.RequestRefused)


@pytest.mark.parametrize(
    ("status", "words", "may_be_too_long"),
    [
        (400, "Le nombre de jetons dépasse la limite du modèle (32768)", True),
        (422, "expected maxLength: 50000, actual: 60000", True),
        (400, "", True),
        (400, "This model's maximum context length is 8192 tokens", True),
        (400, "Your prompt was flagged by our safety system", False),
        (400, "API key not valid", False),
        (415, "Unsupported Media Type", False),
        (404, "The model does not exist", False),
    ],
)
def test_what_is_refused_for_a_reason_that_nobody_knows_may_be_too_long(status: int, words: str, may_be_too_long: bool) -> None:
    assert getattr(meaning(status, words), "may_be_too_long", False) is may_be_too_long


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("Slow down", type="invalid_request_error", code="rate_limit_exceeded"), provider.Throttled),
        (400, error("please slow down", code="Throttling.RateQuota"), provider.Throttled),
        (403, error("Quota metric: requests", details=[{"reason": "RATE_LIMIT_EXCEEDED"}]), provider.Throttled),
        (403, error("Forbidden", type="permission_error"), provider.Refusal),
        (424, {"message": "ThrottlingException: Too many requests"}, provider.Throttled),
        (403, error("Upstream", type="server_error"), provider.ProviderError),
        (400, error("Current spend: 10", type="budget_exceeded", code="400"), provider.Refusal),
        (429, error("Current cost: 0.001", type="budget_exceeded"), provider.Refusal),
    ],
)
def test_a_limit_is_one_whatever_status_a_gateway_makes_of_it(status: int, body: Any, kind: type[Exception]) -> None:
    assert type(refusals.failure_of(refusals.read(status, json.dumps(body).encode(), {}))) is kind


@pytest.mark.parametrize(("seconds", "body", "headers"), ERRORS["waits"])
def test_how_long_to_wait_in_any_header_or_language(seconds: float | None, body: Any, headers: dict[str, str]) -> None:
    wait = waits.wait_of(json.dumps(body, ensure_ascii=False), httpx2.Headers(headers))
    assert wait == (seconds if seconds is None else pytest.approx(seconds))


def test_a_wait_in_letters_that_are_escaped() -> None:
    assert waits.wait_of(json.dumps(error("请20秒后重试")), httpx2.Headers()) == 20
    assert waits.wait_of(json.dumps(error("Maximum 10 requêtes en 60 secondes")), httpx2.Headers()) is None


@pytest.mark.parametrize(
    ("status", "body", "is_lost"),
    [
        (404, "404 page not found", True),
        (404, "", True),
        (404, {"detail": "Not Found"}, True),
        (404, error("Invalid URL (POST /chat/completions)"), True),
        (404, {"error": {"code": "404", "message": "Resource not found"}}, True),
        (405, "<html><h1>405 Not Allowed</h1></html>", True),
        (404, error("The model `x` does not exist."), False),
        (404, error("models/x is not found"), False),
        (404, error("No endpoints found matching your data policy"), False),
        (403, "Not found", False),
    ],
)
def test_an_address_that_is_not_complete_is_told_from_a_model_that_is_not_there(status: int, body: Any, is_lost: bool) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    failed = refusals.failure_of(refusals.read(status, text.encode(), {}))
    assert type(failed) is provider.Refusal
    assert ("is the base URL complete, up to /v1?" in str(failed)) is is_lost


def test_a_redirect_to_another_path_of_its_own() -> None:
    failed = refusals.failure_of(refusals.read(307, b"", {"Location": "/v1/chat/completions/?key=secret"}))
    assert "it redirects to another path of its own" in str(failed)
    assert "secret" not in str(failed)


def test_what_passes_what_costs_money_and_what_is_filtered(simulator: Simulator) -> None:
    for kind, status, body in ERRORS["meanings"]:
        failed = failure(simulator, status, body)
        assert type(failed).__name__ == kind, body
        assert getattr(failed, "words", ""), body


def test_a_model_that_thought_until_its_limit_says_what_to_do(simulator: Simulator) -> None:
    words = "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher one."
    failed = failure(simulator, 400, error(words))
    assert type(failed) is provider.RequestRefused
    assert "raise the chatbot's max_tokens" in str(failed)
    assert len(simulator.record("ai")) == 1


def test_an_error_with_status_200_in_anybodys_form(simulator: Simulator) -> None:
    for kind, body in ERRORS["with_status_200"]:
        failed = failure(simulator, 200, body)
        assert type(failed).__name__ == kind, body
        assert "with the error" in str(failed), body
        assert getattr(failed, "words", ""), body


@pytest.mark.parametrize(("lesson", "status", "said", "sent"), ERRORS["lessons"])
def test_what_a_refusal_teaches_in_anybodys_words(lesson: dict[str, Any], status: int, said: Any, sent: dict[str, Any]) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "do you ship?"}]
    usual = {"model": "m", "messages": messages, "temperature": 0.3, "max_tokens": 500, "tools": [TOOL], "stream": True}
    body = {name: value for name, value in {**usual, "stream_options": {}, **sent}.items() if value is not None}
    complaint = refusals.read(status, json.dumps(said).encode(), {})
    assert lessons.learn(complaint, body) == lesson


def test_a_call_that_a_model_failed_to_write_takes_its_tools_for_one_answer_only(simulator: Simulator) -> None:
    said = error("Failed to call a function. Please adjust your prompt.", code="tool_use_failed", failed_generation="<function")
    simulator.faults([{"kind": "ai", "fault": "status", "match": '"tools"', "status": 400, "body": said}])
    asked = provider.Provider(f"{simulator.url}/v1", "sk", "m", 0.3, 500)
    for _ in range(2):
        assert provider.complete(asked, [{"role": "user", "content": "do you ship?"}], tools=[TOOL]).text
    assert [request["status"] for request in simulator.record("ai")] == [400, 200, 400, 200]
