"""Providers and models that are not like GPT-4o: what they refuse, and the forms in which they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scripts.local.simulator.errors import openai_error
from scripts.local.simulator.exchange import Reply, Request

#: The body that was sent, and the answer that the simulated AI gives to it; returns the answer as this provider gives it.
Provider = Callable[[dict[str, Any], dict[str, Any]], Reply]

THOUGHTS = "The margin is 40 %, which I must not say."
#: Characters of a prompt that `small_context` takes.
SMALL_CONTEXT = 3_000


def _vllm_error(message: str) -> Reply:
    return Reply(400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400})


def _reasoning(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """OpenAI's reasoning models."""
    if "max_tokens" in sent:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return openai_error(400, words, "unsupported_parameter", param="max_tokens")
    if sent.get("temperature", 1) != 1:
        words = (
            f"Unsupported value: 'temperature' does not support {sent['temperature']} with this model. "
            "Only the default (1) value is supported."
        )
        return openai_error(400, words, "unsupported_value", param="temperature")
    return Reply(200, answer)


def _without_system_role(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Gemma at Google's OpenAI-compatible endpoint, whose errors are a list."""
    if sent["messages"][0]["role"] != "user":
        error = {
            "code": 400,
            "message": "Developer instruction is not enabled for models/gemma-3-27b-it",
            "status": "INVALID_ARGUMENT",
        }
        return Reply(400, [{"error": error}])
    return Reply(200, answer)


def _alternating(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Mistral's first models in vLLM: their template knows two roles, in turns."""
    roles = [message["role"] for message in sent["messages"]]
    if any(role != ("user", "assistant")[number % 2] for number, role in enumerate(roles)):
        return _vllm_error("Conversation roles must alternate user/assistant/user/assistant/...")
    return Reply(200, answer)


def _strict(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Mistral: a field that it does not know is an error."""
    known = {"model", "messages", "temperature", "max_tokens", "stream", "tools"}
    unknown = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        for name in sent.keys() - known
    ]
    if unknown:
        return Reply(422, {"object": "error", "message": {"detail": unknown}, "type": "invalid_request_error", "code": None})
    return Reply(200, answer)


def _without_eyes(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """A model that reads texts only."""
    if any(isinstance(message.get("content"), list) for message in sent["messages"]):
        return openai_error(
            400, "Invalid content type. image_url is only supported by certain models.", param="messages.[1].content"
        )
    return Reply(200, answer)


def _without_tools(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """A model in Ollama whose template has no tools."""
    if "tools" in sent:
        words = "registry.ollama.ai/library/gemma3:latest does not support tools"
        return openai_error(400, words, kind="api_error")
    return Reply(200, answer)


def _streams_only(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Models of DashScope that think."""
    if not sent.get("stream"):
        words = "This model only support stream mode, please enable the stream parameter to access the model."
        return openai_error(400, words, "invalid_parameter_error")
    return _as_stream(sent, answer)


def _short_answers(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Groq, whose models have a limit of tokens for the answer."""
    if sent.get("max_tokens", 0) > 256:
        words = (
            "`max_tokens` must be less than or equal to `256`, the maximum value for `max_tokens` is less than the context_window"
        )
        return openai_error(400, words, param="max_tokens")
    return Reply(200, answer)


def _small_context(sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """A small model in vLLM."""
    length = sum(len(message["content"]) for message in sent["messages"])
    if length > SMALL_CONTEXT:
        words = (
            f"This model's maximum context length is {SMALL_CONTEXT} tokens. However, your prompt contains {length} input tokens."
        )
        return _vllm_error(words)
    return Reply(200, answer)


def _said(change: Callable[[str], dict[str, Any]], finish_reason: str = "stop") -> Provider:
    """A provider whose message has this form, given the text."""

    def answer_so(_sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
        message = {"role": "assistant", **change(answer["choices"][0]["message"]["content"])}
        return Reply(200, {**answer, "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]})

    return answer_so


def _usage(usage: Any) -> Provider:
    return lambda _sent, answer: Reply(200, {**answer, "usage": usage})


def _as_stream(_sent: dict[str, Any], answer: dict[str, Any]) -> Reply:
    """Server-sent events, although nobody asked for a stream."""
    delta = {"id": answer["id"], "choices": [{"index": 0, "delta": answer["choices"][0]["message"], "finish_reason": "stop"}]}
    end = {"id": answer["id"], "choices": [], "usage": answer["usage"]}
    text = "".join(f"data: {json.dumps(part)}\n\n" for part in (delta, end))
    return Reply(200, f"{text}data: [DONE]\n\n".encode())


PROVIDERS: dict[str, Provider] = {
    "reasoning_model": _reasoning,
    "without_system_role": _without_system_role,
    "alternating_roles": _alternating,
    "strict_fields": _strict,
    "without_tools": _without_tools,
    "without_eyes": _without_eyes,
    "streams_only": _streams_only,
    "short_answers": _short_answers,
    "small_context": _small_context,
    "content_parts": _said(lambda text: {"content": [{"type": "text", "text": text}]}),
    "thinking_parts": _said(
        lambda text: {
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]}, {"type": "text", "text": text}]
        }
    ),
    "reasoning_content": _said(lambda text: {"content": text, "reasoning_content": THOUGHTS}),
    "think_tags": _said(lambda text: {"content": f"<think>\n{THOUGHTS}\n</think>\n\n{text}"}),
    "think_tag_closes": _said(lambda text: {"content": f"{THOUGHTS}\n</think>\n\n{text}"}),
    "think_tag_opens": _said(lambda _text: {"content": f"<think>\n{THOUGHTS}"}, "length"),
    "harmony_channels": _said(
        lambda text: {
            "content": f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>{text}"
        }
    ),
    "thoughts_only": _said(lambda _text: {"content": None, "reasoning_content": THOUGHTS}, "length"),
    "cut_off": _said(lambda text: {"content": f"{text} And on Monday, Tuesday and"}, "length"),
    "filtered": _said(lambda _text: {"content": ""}, "content_filter"),
    "refusing": _said(lambda _text: {"content": None, "refusal": "I cannot help with that."}),
    "without_usage": _usage(None),
    "usage_as_text": _usage({"prompt_tokens": "120", "completion_tokens": "30.0", "total_tokens": "150"}),
    "stream_unasked": _as_stream,
}


def answer_as(name: str, request: Request, usual: Reply) -> Reply:
    """The reply of a provider of this name, where the simulated AI's would be `usual`."""
    if usual.status != 200:
        return usual
    reply = PROVIDERS[name](request.json(), usual.body)
    return replace(usual, status=reply.status, body=reply.body, accepted=reply.status == 200, events=[])
