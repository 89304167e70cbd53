"""Providers as they really are: what each refuses and how each answers, played by the simulator."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from scripts.local.simulator.providers import THOUGHTS
from shared.ai import answer_text, completion, lessons, profiles, provider, refusals
from shared.ai.failures import KeyRefused
from shared.errors import OutsideFailure, Snooze
from tests.unit.servers import read_request, serving
from tests.unit.texts import BLANK

TOOL = {"type": "function", "function": {"name": "hand_over", "description": "To a person.", "parameters": {"type": "object"}}}
ANSWER = "We ship in two days."


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system of its own for what asks a provider, in which what hangs is given up soon."""
    from shared import config

    if "simulator" not in request.fixturenames:
        return
    request.getfixturevalue("environment")
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "5")
    config.reset()


def ask(simulator: Simulator, path: str = "/v1", *, tools: bool = False, **more: Any) -> provider.Completion:
    asked = provider.Provider(f"{simulator.url}{path}", "sk", "m", more.pop("temperature", 0.3), more.pop("max_tokens", 500))
    system = f'Be kind.\n<knowledge>\n<item id="1" title="Shipping">{ANSWER}</item>\n</knowledge>'
    said = [("system", system), *more.pop("history", [("user", "do you ship?")])]
    messages = [{"role": role, "content": text} for role, text in said]
    return provider.complete(asked, messages, tools=[TOOL] if tools else ())


def play(simulator: Simulator, name: str) -> None:
    simulator.faults([{"kind": "ai", "fault": "provider", "provider": name}])


def refuse(simulator: Simulator, status: int, body: Any, **headers: str) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": status, "body": body, "headers": headers}])


@pytest.mark.parametrize(
    ("name", "refusals"),
    [
        ("streams_only", 1),
        ("reasoning_model", 2),
        ("without_system_role", 1),
        ("alternating_roles", 1),
        ("without_tools", 1),
        ("short_answers", 1),
        ("strict_fields", 0),
    ],
)
def test_what_a_model_refuses_is_learnt_and_kept(simulator: Simulator, name: str, refusals: int) -> None:
    play(simulator, name)
    said = [("assistant", "Your parcel left."), ("user", "Thanks!"), ("user", "And do you ship?")]
    for requests in (refusals + 1, refusals + 2, refusals + 3):
        assert ANSWER in ask(simulator, tools=True, history=said).text
        assert len(simulator.record("ai")) == requests
        if requests == refusals + 2:
            profiles.forget()  # as a process that has just begun


def test_a_refusal_that_teaches_nothing_is_final_at_once(simulator: Simulator) -> None:
    for message in ("top_k is odd", "Unsupported parameter: 'stream_options'", "Invalid 'temperature'"):
        refuse(simulator, 400, {"error": {"message": message, "type": "invalid_request_error"}})
        with pytest.raises(provider.RequestRefused):
            ask(simulator)
    assert len(simulator.record("ai")) == 4, "only a temperature can be left out, once"
    simulator.clear_faults()
    assert profiles.of(f"{simulator.url}/v1", "m") == {}, "what did not help is not kept"


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 4500 tokens (500 in the messages, 4000 in "
        "the completion). Please reduce the length of the messages or completion.",
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 4500 tokens: "
        "500 tokens from the input messages and 4000 tokens for the completion.",  # SGLang
    ],
)
def test_the_answers_limit_is_lowered_for_a_prompt_that_leaves_less_room(simulator: Simulator, words: str) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": 400, "body": {"error": {"message": words}}, "times": 1}])
    assert ANSWER in ask(simulator, max_tokens=4_000).text
    assert profiles.of(f"{simulator.url}/v1", "m") == {}


@pytest.mark.parametrize(
    ("name", "text", "is_estimated"),
    [
        ("content_parts", f"Thanks for asking! {ANSWER}", False),
        ("thinking_parts", f"Thanks for asking! {ANSWER}", False),
        ("reasoning_content", f"Thanks for asking! {ANSWER}", False),
        ("think_tags", f"Thanks for asking! {ANSWER}", False),
        ("think_tag_closes", f"Thanks for asking! {ANSWER}", False),
        ("harmony_channels", f"Thanks for asking! {ANSWER}", False),
        ("cut_off", f"Thanks for asking! {ANSWER}", False),
        ("refusing", "I cannot help with that.", False),
        ("without_usage", f"Thanks for asking! {ANSWER}", True),
        ("usage_as_text", f"Thanks for asking! {ANSWER}", False),
        ("stream_unasked", f"Thanks for asking! {ANSWER}", False),
    ],
)
def test_an_answer_in_any_form_is_read(simulator: Simulator, name: str, text: str, is_estimated: bool) -> None:
    play(simulator, name)
    answer = ask(simulator)
    assert (answer.text, answer.is_estimated) == (text, is_estimated)
    assert answer.prompt_tokens > 0
    assert answer.completion_tokens > 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("think_tag_opens", "raise the chatbot's max_tokens"),
        ("thoughts_only", "raise the chatbot's max_tokens"),
        ("filtered", "the answer was filtered"),
    ],
)
def test_an_answer_without_text_is_final_and_says_why(simulator: Simulator, name: str, says: str) -> None:
    play(simulator, name)
    with pytest.raises(provider.NoText, match=says) as failure:
        ask(simulator)
    assert failure.value.usage is not None
    assert failure.value.usage.completion_tokens > 0
    assert THOUGHTS not in str(vars(failure.value))
    assert not failure.value.another_may_answer


def test_a_call_that_a_server_leaves_in_the_text_is_none_of_the_answer(simulator: Simulator) -> None:
    said = '<tool_call>\n{"name": "hand_over", "arguments": {}}\n</tool_call>'
    body = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": body}])
    answer = ask(simulator, tools=True)
    assert (answer.text, answer.tool) == ("", provider.ToolCall("hand_over", {}))


def test_a_prompt_that_leaves_no_room_for_an_answer_teaches_nothing_of_its_limit(simulator: Simulator) -> None:
    words = (
        "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 4096 tokens and your "
        "request has 4060 input tokens (4000 > 4096 - 4060)."
    )
    refuse(simulator, 400, {"message": words})
    with pytest.raises(provider.ContextTooLong):
        ask(simulator, max_tokens=4_000)
    assert len(simulator.record("ai")) == 1


@pytest.mark.parametrize("words", ["stream error: stream ID 5; INTERNAL_ERROR", "error parsing tool call", "GPU temperature"])
def test_a_fault_of_the_server_teaches_nothing(words: str) -> None:
    body = {"messages": [], "temperature": 0.3, "tools": [TOOL], "stream": True}
    assert lessons.learn(refusals.Complaint(500, words=words), body) == {}
    assert lessons.learn(refusals.Complaint(500, words="streaming is not supported"), body) == {"stream": None}


CONTEXT = [
    (400, {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}}),
    (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            }
        },
    ),
    (400, {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum", "type": "invalid_request_error"}}),
    (400, [{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed."}}]),
    (400, {"message": "Input is too long for requested model."}),
    (400, {"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}),
    (
        413,
        {"error": {"message": "Request too large for model `x`: please reduce your message size", "code": "rate_limit_exceeded"}},
    ),
    (429, {"error": {"message": "Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000"}}),
    (413, "<html><head><title>413 Request Entity Too Large</title></head></html>"),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens"}),
    (500, {"error": {"message": "input length exceeds the context length"}}),
    (200, {"error": {"message": "This endpoint's maximum context length is 8192 tokens.", "code": 400}}),
]


@pytest.mark.parametrize(("status", "body"), CONTEXT)
def test_a_context_that_is_too_long_is_recognised(simulator: Simulator, status: int, body: Any) -> None:
    refuse(simulator, status, body)
    with pytest.raises(provider.ContextTooLong):
        ask(simulator)


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason", "words"),
    [
        # Ollama, Gemini, vLLM, FastAPI, Cloudflare, DeepSeek, Bedrock, a web server
        (404, {"error": 'model "llama3.2" not found, try pulling it first'}, provider.Refusal, "HTTP 404", "try pulling"),
        (400, [{"error": {"code": 400, "message": "API key not valid."}}], provider.Refusal, "HTTP 400", "API key not valid"),
        (400, {"object": "error", "message": "top_k is wrong", "code": 400}, provider.RequestRefused, "HTTP 400", "top_k"),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "field required"}]}, provider.RequestRefused, "422", "body.n: field req"),
        (422, {"detail": "odd"}, provider.RequestRefused, "HTTP 422", "odd"),
        (
            400,
            {"errors": [{"message": "no such thing", "code": 7003}]},
            provider.RequestRefused,
            "HTTP 400 7003",
            "no such thing",
        ),
        (400, {"error": {"code": "Arrearage", "message": "Access denied"}}, provider.Refusal, "Arrearage", "denied"),
        (400, {"error": {"message": "Organization has been restricted."}}, provider.Refusal, "HTTP 400", "restricted"),
        (400, {"error": {"message": "Budget has been exceeded! Max: 10"}}, provider.Refusal, "HTTP 400", "Budget"),
        (400, {"error": {"message": "User location is not supported"}}, provider.Refusal, "HTTP 400", "location"),
        (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}, provider.Refusal, "HTTP 402", "Balance"),
        (400, {"error": {"message": "Your credit balance is too low"}}, provider.Refusal, "HTTP 400", "credit"),
        (403, {"message": "The security token is invalid."}, provider.Refusal, "HTTP 403", "security token"),
        (
            403,
            "<html><style>x{}</style><h1>Attention\n Required!</h1> | Cloudflare</html>",
            provider.Refusal,
            "403",
            "Attention Req",
        ),
        (404, {"error": {"code": "DeploymentNotFound", "message": "none"}}, provider.Refusal, "404 DeploymentNotFound", "none"),
        (403, {"error": {"code": 403, "message": "Your input was flagged"}}, provider.RequestRefused, "HTTP 403", "flagged"),
        (
            400,
            {"error": {"code": "content_filter", "message": "Azure's content management policy"}},
            provider.RequestRefused,
            "HTTP 400 content_filter",
            "policy",
        ),
        # What passes by itself
        (424, {"error": {"message": "later"}}, provider.ProviderError, "HTTP 424", "later"),
        (425, "", provider.ProviderError, "HTTP 425", ""),
        (499, {"error": {"message": "cancelled"}}, provider.ProviderError, "HTTP 499", "cancelled"),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            provider.ProviderError,
            "529",
            "Over",
        ),
        (498, {"error": {"message": "Flex capacity exceeded"}}, provider.Throttled, "HTTP 498", "Flex"),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], provider.Throttled, "429 RESOURCE_EXHAUSTED", ""),
        (
            429,
            {"error": {"message": "check your plan", "type": "insufficient_quota", "code": None}},
            provider.Refusal,
            "insufficient",
            "plan",
        ),
        # An error with status 200 (OpenRouter and other routers)
        (
            200,
            {"error": {"message": "Provider returned error", "code": 502}},
            provider.ProviderError,
            "the error 502",
            "returned",
        ),
        (200, {"error": {"message": "slow down", "code": 429}}, provider.Throttled, "the error 429", "slow down"),
        (200, {"error": {"message": "no credits", "code": 402}}, provider.Refusal, "the error 402", "no credits"),
        (200, {"error": {"message": "bad key", "code": "invalid_api_key"}}, KeyRefused, "invalid_api_key", "bad key"),
        (200, {"choices": [{"error": {"message": "died", "code": 503}}]}, provider.ProviderError, "the error 503", "died"),
        (200, {"error": {"message": "?"}}, provider.ProviderError, "HTTP 200 with the error", "?"),
        (
            400,
            {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "upstream says no"}}},
            provider.RequestRefused,
            "HTTP 400",
            "upstream says no",
        ),
        # No completion at all
        (200, "", provider.ProviderError, "an empty body", ""),
        (200, "<html><h1>Welcome</h1></html>", provider.ProviderError, "up to /v1?", "Welcome"),
        (200, {"choices": None}, provider.ProviderError, "not a completion", ""),
        (200, '"overloaded"', provider.ProviderError, "not a completion (str)", "overloaded"),
        (200, 'data: {"sort": "x"}\n\n', provider.ProviderError, "events of another kind", "sort"),
        (200, [], provider.ProviderError, "not a completion", ""),
        (200, "data: [DONE]\n\n", provider.NoText, "an empty reply", ""),
    ],
)
def test_what_a_refusal_means_and_whose_words_are_kept(
    simulator: Simulator, status: int, body: Any, kind: type[provider.NotAnswered], reason: str, words: str
) -> None:
    refuse(simulator, status, body)
    with pytest.raises((OutsideFailure, Snooze)) as failure:
        ask(simulator)
    assert type(failure.value) is kind
    assert reason in str(failure.value)
    assert words in getattr(failure.value, "words", "")
    assert not words or words not in str(failure.value), "logs say ours alone"
    assert failure.value.another_may_answer is not issubclass(kind, provider.RequestRefused)


@pytest.mark.parametrize(
    "body",
    [
        '{"message": {"content": "H"}}\n{"message": {"content": "i"}, "done": true, "prompt_eval_count": 7, "eval_count": 3}\n',
        json.dumps(
            [
                {"candidates": [{"content": {"parts": [{"text": "H"}]}}]},
                {
                    "candidates": [{"content": {"parts": [{"text": "i"}]}, "finishReason": "STOP"}],
                    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3},
                },
            ]
        ),
    ],
    ids=["Ollama", "Gemini"],
)
def test_lines_or_a_list_of_pieces_are_an_answer_that_nobody_asked_to_be_a_stream(simulator: Simulator, body: str) -> None:
    refuse(simulator, 200, body)
    for on_text in (None, lambda _text: None):
        asked = provider.Provider(f"{simulator.url}/v1", "sk", "m", 0.3, 500)
        answer = provider.complete(asked, MESSAGES, on_text=on_text)
        assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("Hi", 7, 3)


_GREETING = json.dumps({"choices": [{"message": {"content": "Grün\tHi"}, "finish_reason": "stop"}]}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (_GREETING.replace("ü".encode(), b"\xc3"), "Gr\ufffdn\tHi"),
        (_GREETING.replace(b"\\t", b"\n"), "Grün\nHi"),
        (_GREETING + b"\n\ndata: [DONE]\n\n", "Grün\tHi"),
        (b"\xef\xbb\xbf" + _GREETING + b"\0", "Grün\tHi"),
    ],
    ids=["half a character", "a line end", "[DONE] behind it", "NUL behind it"],
)
def test_an_answer_that_is_almost_json_is_one(simulator: Simulator, body: bytes, text: str) -> None:
    def give(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with serving() as serve:
        asked = provider.Provider(f"http://{serve(give)}/v1", "sk", "m", 0.3, 500)
        for on_text in (None, lambda _text: None):
            assert provider.complete(asked, MESSAGES, on_text=on_text).text == text


def test_a_redirect_says_where_to(simulator: Simulator) -> None:
    for status in (301, 307, 308):
        refuse(simulator, status, "", Location="https://api.example/v1/chat/completions?key=secret")
        with pytest.raises(provider.Refusal, match=r"it redirects to https://api\.example; make that the base URL") as failure:
            ask(simulator)
        assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ([{"error": {"code": 429, "details": [{"retryDelay": "34s"}]}}], {}, 34),
        ({"error": {"message": "Rate limit reached. Please try again in 7.66s."}}, {}, 7.66),
        ({"error": {"message": "Please try again in 7.66s."}}, {"Retry-After": "9"}, 9),
        ({"error": {"message": "slow down"}}, {}, None),
        ({"error": {"message": "You may try again in an hour."}}, {}, 3600),
        ({"error": {"message": "Try again tomorrow."}}, {}, 3600),
        ({"error": {"message": "Versuchen Sie es morgen erneut."}}, {}, 3600),
        ({"error": {"message": "明日以降に再試行してください"}}, {}, 3600),
        ({"error": {"message": "请在 2 小时后重试"}}, {}, 7200),
        ({"error": {"message": "2시간 후에 다시 시도해 주세요"}}, {}, 7200),
        ({"error": {"message": "Your limit resets at 2026-11-29 00:00:00 UTC."}}, {"Date": "Sat, 28 Nov 2026 23:59:00 GMT"}, 60),
        ({"error": {"message": "Locked until 2026-11-29T00:00:00Z"}}, {"Date": "Sat, 28 Nov 2026 23:59:00 GMT"}, 60),
        ({"error": {"message": "You may ask 3 times a minute."}}, {}, None),
    ],
)
def test_when_a_provider_that_throttles_may_be_asked_again(
    simulator: Simulator, body: Any, headers: dict[str, str], seconds: float | None
) -> None:
    refuse(simulator, 429, body, **headers)
    with pytest.raises(provider.Throttled) as failure:
        ask(simulator)
    assert failure.value.retry_after == seconds


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/openai/deployments/gpt", "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        ("/openai/deployments/gpt?api-version=2025-01-01", "/openai/deployments/gpt/chat/completions?api-version=2025-01-01"),
        ("/openai/deployments/gpt/chat/completions?api-version=1", "/openai/deployments/gpt/chat/completions?api-version=1"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1?tenant=7", "/v1/chat/completions?tenant=7"),
    ],
)
def test_addresses_as_people_copy_them(simulator: Simulator, path: str, called: str) -> None:
    assert ANSWER in ask(simulator, path).text
    assert simulator.record("ai")[0]["path"] == called


MESSAGES = [{"role": "user", "content": "do you ship?"}]


def parsed(message: dict[str, Any], finish_reason: str = "stop", tools: tuple[str, ...] = (), **more: Any) -> provider.Completion:
    return completion.parse({"choices": [{"message": message, "finish_reason": finish_reason}], **more}, "m", MESSAGES, tools)


@pytest.mark.parametrize(
    "content",
    [
        "Hi",
        ["Hi"],
        [{"text": "Hi"}],
        [{"type": "output_text", "text": "Hi"}],
        [{"type": "text", "text": {"value": "Hi"}}],
        [{"type": "reasoning", "text": "no"}, {"type": "text", "text": "H"}, {"type": "text", "text": "i"}],
        [{"text": "no", "thought": True}, {"text": "Hi"}],
        *(
            [{"type": kind, "text": "no"}, {"type": "text", "text": "Hi"}]
            for kind in ("reasoning_text", "summary_text", "reasoning.summary", "Thinking", "model_thought")
        ),
        {"type": "text", "text": "Hi"},
        {"parts": [{"text": "Hi"}]},
        {"content": [{"text": "Hi"}]},
    ],
)
def test_content_of_any_shape(content: Any) -> None:
    assert parsed({"content": content}).text == "Hi"


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Hi", "extra_content": {"google": {"thought_signature": "c2VjcmV0"}}},
        {"content": "<thought>no</thought>Hi", "extra_content": {"google": {"thought": True}}},
        {"content": "<thought>no</thought>Hi"},
        {"content": "<thought>no</thought>Hi", "thought": True},
        {"content": "Hi", "extra_content": {"google": {"thought": False}}},
        {"content": "Hi", "extra_content": None},
        {"content": "Hi", "reasoning_content": "no", "reasoning_details": [{"type": "reasoning.text", "text": "no"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, {"type": "text", "text": "Hi"}]},
    ],
)
def test_thoughts_that_a_field_marks_are_not_for_the_customer(message: dict[str, Any]) -> None:
    assert parsed(message).text == "Hi"


@pytest.mark.parametrize("text", ["no", "<thought>no", "<thought>no</thought>"])
@pytest.mark.parametrize("mark", [{"extra_content": {"google": {"thought": True}}}, {"thought": True}])
def test_a_message_that_is_marked_as_a_thought_is_no_answer(text: str, mark: dict[str, Any]) -> None:
    with pytest.raises(provider.NoText, match="an empty reply"):
        parsed({"content": text, **mark})


#: Whole answers in a vendor's own form, which all say "Hi" for 7 and 3 tokens.
OWN_FORMS = {
    "Anthropic": {
        "type": "message",
        "content": [{"type": "thinking", "thinking": "no"}, {"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
    "Gemini": {
        "candidates": [{"content": {"parts": [{"text": "no", "thought": True}, {"text": "Hi"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3},
    },
    "OpenAI's Responses": {
        "object": "response",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "no"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
        ],
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    },
    "Ollama": {"message": {"content": "Hi"}, "done_reason": "stop", "done": True, "prompt_eval_count": 7, "eval_count": 3},
    "Ollama's generate": {"response": "Hi", "done": True, "prompt_eval_count": 7, "eval_count": 3},
    "Cohere": {
        "message": {"content": [{"type": "text", "text": "Hi"}]},
        "usage": {"tokens": {"input_tokens": 7, "output_tokens": 3}},
    },
    "Bedrock": {
        "output": {"message": {"content": [{"reasoningContent": {"reasoningText": {"text": "no"}}}, {"text": "Hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 7, "outputTokens": 3},
    },
    "DashScope": {
        "output": {"text": "Hi", "finish_reason": "stop"},
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
    "Cloudflare": {"result": {"response": "Hi", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, "success": True},
    "watsonx": {"results": [{"generated_text": "Hi", "input_token_count": 7, "generated_token_count": 3}]},
    "OpenAI's Responses, as their client has them": {
        "object": "response",
        "output_text": "Hi",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
    "The same, without the parts": {"output": [], "output_text": "Hi", "usage": {"input_tokens": 7, "output_tokens": 3}},
    "Llama on Bedrock": {"generation": "Hi", "prompt_token_count": 7, "generation_token_count": 3, "stop_reason": "stop"},
    "Titan on Bedrock": {
        "inputTextTokenCount": 7,
        "results": [{"outputText": "Hi", "tokenCount": 3, "completionReason": "FINISH"}],
    },
}


@pytest.mark.parametrize("vendor", OWN_FORMS)
def test_an_answer_in_a_vendors_own_form(vendor: str) -> None:
    answer = completion.parse(OWN_FORMS[vendor], "m", MESSAGES)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens, answer.is_estimated) == ("Hi", 7, 3, False)


def test_responses_that_were_cut_off_or_refused() -> None:
    said = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello. And"}]}], "status": "incomplete"}
    cut_off = completion.parse({**said, "incomplete_details": {"reason": "max_output_tokens"}}, "m", MESSAGES)
    assert (cut_off.text, cut_off.finish_reason) == ("Hello.", "max_output_tokens")
    with pytest.raises(provider.NoText, match="filtered"):
        completion.parse({**said, "incomplete_details": {"reason": "content_filter"}}, "m", MESSAGES)
    refused = {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "I cannot help with that."}]}]}
    answer = completion.parse(refused, "m", MESSAGES)
    assert (answer.text, answer.finish_reason) == ("I cannot help with that.", "refusal")


CALLS_IN_OWN_FORMS = {
    "Anthropic": {"content": [{"type": "tool_use", "id": "1", "name": "hand_over", "input": {"reason": "loop"}}]},
    "Gemini": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "hand_over", "args": {"reason": "loop"}}}]}}]},
    "OpenAI's Responses": {"output": [{"type": "function_call", "name": "hand_over", "arguments": '{"reason": "loop"}'}]},
    "Ollama": {"message": {"content": "", "tool_calls": [{"function": {"name": "hand_over", "arguments": {"reason": "loop"}}}]}},
    "Bedrock": {"output": {"message": {"content": [{"toolUse": {"name": "hand_over", "input": {"reason": "loop"}}}]}}},
}


@pytest.mark.parametrize("vendor", CALLS_IN_OWN_FORMS)
def test_a_call_in_a_vendors_own_form(vendor: str) -> None:
    answer = completion.parse(CALLS_IN_OWN_FORMS[vendor], "m", MESSAGES, ["hand_over"])
    assert (answer.text, answer.tool) == ("", provider.ToolCall("hand_over", {"reason": "loop"}))


@pytest.mark.parametrize(
    "answer",
    [
        {"content": [], "stop_reason": "refusal", "usage": {"input_tokens": 7, "output_tokens": 0}},
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}},
    ],
)
def test_an_answer_that_is_refused_in_a_vendors_own_form_is_filtered(answer: dict[str, Any]) -> None:
    with pytest.raises(provider.NoText, match="filtered") as failure:
        completion.parse(answer, "m", MESSAGES)
    assert failure.value.usage is not None
    assert (failure.value.usage.prompt_tokens, failure.value.usage.is_estimated) == (7, False)


@pytest.mark.parametrize(
    ("more", "counted"),
    [
        ({"usage": {"prompt_tokens": 7, "completion_tokens": 3}}, (7, 3, False)),
        ({"usage": {"prompt_tokens": "7", "completion_tokens": 3.0}}, (7, 3, False)),
        ({"usage": {"input_tokens": 7, "output_tokens": 3}}, (7, 3, False)),
        ({"usage": {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}}, (7, 3, False)),
        ({"x_groq": {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}}, (7, 3, False)),
        ({"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}}, (7, 3, False)),
        ({"meta": {"billed_units": {"input_tokens": 7.0, "output_tokens": 3.0}}}, (7, 3, False)),
        ({"prompt_eval_count": 7, "eval_count": 3}, (7, 3, False)),
        ({"usage": {"prompt_tokens": 7}}, (7, 1, True)),
        ({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}, (7, 3, False)),
        # The price of thoughts is in the total alone: xAI, Gemini as OpenAI, Gemini's own
        ({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 50}}, (7, 43, False)),
        (
            {
                "usageMetadata": {
                    "promptTokenCount": 7,
                    "candidatesTokenCount": 3,
                    "thoughtsTokenCount": 40,
                    "totalTokenCount": 50,
                }
            },
            (7, 43, False),
        ),
        *(
            ({"usage": usage}, (3, 1, True))
            for usage in (None, {}, [], "12 tokens", {"prompt_tokens": "many"}, {"prompt_tokens": 0, "completion_tokens": 0})
        ),
    ],
)
def test_usage_as_it_is_said_or_else_estimated(more: dict[str, Any], counted: tuple[int, int, bool]) -> None:
    answer = parsed({"content": "Hi"}, **more)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.is_estimated) == counted


@pytest.mark.parametrize(
    ("message", "tool"),
    [
        ({"tool_calls": [{"function": {"name": "hand_over", "arguments": '{"reason": "loop"}'}}]}, {"reason": "loop"}),
        (
            {"content": None, "tool_calls": [{"function": {"name": "hand_over", "arguments": {"reason": "loop"}}}]},
            {"reason": "loop"},
        ),
        ({"tool_calls": [{"function": {"name": "x"}}, {"function": {"name": "hand_over", "arguments": ""}}]}, {}),
        ({"tool_calls": [{"function": {"name": "hand_over", "arguments": '{"reas'}}]}, {}),
        ({"function_call": {"name": "hand_over", "arguments": "{}"}}, {}),
    ],
)
def test_a_call_of_a_tool_that_was_offered(message: dict[str, Any], tool: dict[str, Any]) -> None:
    assert parsed(message, "tool_calls", ("hand_over",)).tool == provider.ToolCall("hand_over", tool)
    with pytest.raises(provider.NoText):
        parsed(message, "tool_calls")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("We ship on Monday. On Tuesday we", "We ship on Monday."),
        ("1. Pack it\n2. Send it\n3. Wai", "1. Pack it\n2. Send it"),
        ("月曜日に発送します。火曜日に", "月曜日に発送します。"),
        (
            "Yes. It is a very long sentence that has no end because the limit came",
            "Yes. It is a very long sentence that has no end because the limit …",
        ),
        ("It costs 12.5", "It costs …"),
    ],
)
@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "model_context_window_exceeded", "TOKEN_LIMIT", "ERROR_LIMIT"])
def test_an_answer_that_is_cut_off_ends_with_a_sentence(text: str, sent: str, reason: str) -> None:
    answer = parsed({"content": text}, reason)
    assert (answer.text, answer.finish_reason) == (sent, reason)


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "content_filter: PROHIBITED_CONTENT", "guardrail_intervened", "ERROR_TOXIC"]
)
def test_a_filtered_answer_is_not_sent_by_halves(reason: str) -> None:
    with pytest.raises(provider.NoText):
        parsed({"content": "How to"}, reason)


@pytest.mark.parametrize(
    "content",
    ["", " \n", *BLANK, None, [], [{"type": "text", "text": "\u200b"}]],
)
def test_an_answer_in_which_nothing_can_be_seen_is_empty(content: Any) -> None:
    with pytest.raises(provider.NoText, match="an empty reply"):
        parsed({"content": content})


def test_a_prompt_that_was_read_and_has_no_answer_is_paid_once() -> None:
    with pytest.raises(provider.NoText) as failure:
        completion.parse({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 0}}, "m", MESSAGES)
    assert failure.value.usage is not None
    assert failure.value.usage.prompt_tokens == 7


@pytest.mark.parametrize(
    "reason",
    [
        *("error", "abort", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL", "timeout"),
        *("function_call_filter: MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "internal_error"),
    ],
)
def test_an_answer_that_the_provider_broke_off_is_asked_for_again(reason: str) -> None:
    with pytest.raises(provider.ProviderError, match="broke off") as failure:
        parsed({"content": "How to"}, reason, usage={"prompt_tokens": 7, "completion_tokens": 3})
    assert failure.value.another_may_answer
    assert failure.value.usage is not None


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("Hi <b>there</b>, 3 < 4", "Hi <b>there</b>, 3 < 4"),
        ("<think>no</think> Hi", "Hi"),
        ("<THINKING time='3s'>no</THINKING>\nHi", "Hi"),
        ("<thought>no</thought><answer>Hi</answer>", "Hi"),
        ("no</think>\n\nHi", "Hi"),
        ("Hi <think>no", "Hi"),
        ("<think>no", ""),
        ("no</think>", ""),
        ("<think>no<think>no</think>no</think>Hi", "Hi"),
        ("<think>no</think>Hi</think>", "Hi"),
        ("<think>no</think>Hi <think>no</think>there", "Hi there"),
        ("<mm:think>no</mm:think>Hi", "Hi"),
        ("<antml:thinking>no</antml:thinking>Hi", "Hi"),
        ("<longcat_think>no</longcat_think>Hi", "Hi"),
        ("<|think|>no<|/think|>Hi", "Hi"),
        ("<|think|>no<|end|><|begin|>assistant<|content|>Hi", "Hi"),
        ("<|inner_prefix|>no<|inner_suffix|>Hi", "Hi"),
        ("[THINK]no[/THINK]Hi", "Hi"),
        ("◁think▷no◁/think▷Hi", "Hi"),
        ("<|START_THINKING|>no<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>", "Hi"),
        ("<unused94>thought\nno<unused95>Hi", "Hi"),
        ("<|channel>thought\nno<channel|>Hi", "Hi"),
        ("<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>", "Hi"),
        ("<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>", ""),
        ("analysisThe user asks.assistantfinalHi", "Hi"),
        ("assistantanalysisThe user asks.\nassistantfinal Hi", "Hi"),
        ("assistantanalysisThe user asks", ""),
        ("&lt;think&gt;\nno\n&lt;/think&gt;\n\nHi", "Hi"),
        ("no&lt;/think&gt;Hi", "Hi"),
        ("<details type='reasoning' open>no</details>\nHi", "Hi"),
        ("<details><summary>Hi</summary>there</details>", "<details><summary>Hi</summary>there</details>"),
        ("```reasoning\nno\n```\nHi\n```sh\nls\n```", "Hi\n```sh\nls\n```"),
        ("```thinking\nno", ""),
        ("<thought_process>no</thought_process>Hi", "Hi"),
        ("Here is my thought process:\nno\n\nHere is my response:\nHi", "Hi"),
        ("Here's my thought process:\nno", ""),
        ("*Thinking...*\n\n> no\n>\n> no\n\nHi", "Hi"),
        ("Thinking...\nno\n...done thinking.\n\nHi", "Hi"),
        ("Thought: no\nAction: none\nFinal Answer: Hi", "Hi"),
        ("**Reasoning:** no\n\n**Answer:** **Hi**", "**Hi**"),
        *((f"<{name}>no</{name}>Hi", "Hi") for name in ("cot", "planning", "inner_thought", "reasoning_process")),
        *((f"[{name}]no[/{name}]Hi", "Hi") for name in ("thinking", "REASONING")),
        ("<|reasoning|>no<|/reasoning|>Hi", "Hi"),
        ("<|begin_of_reasoning|>no<|end_of_reasoning|>Hi", "Hi"),
        (r"\u003cthink\u003eno\u003c/think\u003eHi", "Hi"),
        (r"no\u003C/think\u003EHi", "Hi"),
        (r"a \u003c b, Hi", r"a \u003c b, Hi"),
        ("**Thinking:** no\n\n**Answer:** Hi", "Hi"),
        ("Gedanken: no\n\nAntwort: Hi", "Hi"),
        ("<analysis>no</analysis>\n<final>Hi</final>", "Hi"),
        *(
            (f"{thought}: no\n\n{answer}: Hi", "Hi")
            for thought, answer in (
                ("Thinking", "Reply"),
                ("Chain of thought", "Answer"),
                ("Denkprozess", "Antwort"),
                ("Raisonnement", "Réponse"),
                ("Pensamiento", "Respuesta"),
                ("Raciocínio", "Resposta"),
                ("Ragionamento", "Risposta"),
                ("Рассуждение", "Ответ"),
                ("推理", "最终答案"),
                ("思考", "回答"),
                ("생각", "답변"),
            )
        ),
        ("<plan>no</plan><think>no</think>Hi", "Hi"),
        ("<think>no</think>\n<answer>\nHi\n</answer>", "Hi"),
        ("Thoughts on it: Hi", "Thoughts on it: Hi"),
        ("Thinking... of a gift? Hi", "Thinking... of a gift? Hi"),
        ("Here is my thought: Hi", "Here is my thought: Hi"),
    ],
)
def test_thoughts_are_not_for_the_customer(text: str, visible: str) -> None:
    assert answer_text.without_thoughts(text) == visible


@pytest.mark.parametrize(
    "form", ['{"answer": "%s"}', '```json\n{"response": "%s"}\n```', '"%s"', '[{"type": "text", "text": "%s"}]']
)
@pytest.mark.parametrize(
    "thoughts", [r"\u003cthink\u003eno\u003c/think\u003e\nHi", r"no\u003c/think\u003eHi", "<think>no</think>Hi"]
)
def test_thoughts_within_json_are_not_for_the_customer(form: str, thoughts: str) -> None:
    assert parsed({"content": form % thoughts}).text == "Hi"


def test_roles_are_in_turns_and_thoughts_are_not_repeated() -> None:
    said = [
        ("system", "Be kind."),
        ("assistant", "Your parcel left."),
        ("user", "a"),
        ("user", "b"),
        ("assistant", "<think>no"),
        ("user", "c"),
    ]
    messages = [{"role": role, "content": text} for role, text in said]
    arranged = profiles.arranged(messages)
    assert [(turn["role"], turn["content"]) for turn in arranged] == [
        ("system", "Be kind."),
        ("user", profiles.EARLIER),
        ("assistant", "Your parcel left."),
        ("user", "a\n\nb\n\nc"),
    ]
    [first, *_] = profiles.arranged(messages, has_system_role=False)
    assert first == {"role": "user", "content": f"Be kind.\n\n{profiles.EARLIER}"}
