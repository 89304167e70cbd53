"""Answers in vendors' own forms, which a gateway hands on at an address that should speak as OpenAI does: read as OpenAI's.

Anthropic's Messages, Gemini's generateContent, OpenAI's Responses, Cohere's v2, Ollama's /api/chat and /api/generate, Bedrock's
Converse and models' own, DashScope's own, Cloudflare's run, TGI's generate, watsonx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]
#: What an answer may be wrapped in, and members beside that which go with it.
_WRAPPINGS = ("data", "result", "output", "response")
_BESIDE = ("usage", "usageMetadata", "usage_metadata", "meta", "metadata", "token_usage", "x_groq", "id", "model", "request_id")
#: Where an answer has its words, or the parts that have them.
_CONTENTS = ("output", "output_text", "content", "response", "generated_text", "text", "generation", "outputText", "answer")


def as_completion(answer: Event) -> Event:
    """A whole answer as OpenAI gives it; as it is, if it is none that we know."""
    choices = answer.get("choices")
    if isinstance(choices, Mapping):
        return {**answer, "choices": [choices] if "message" in choices else list(choices.values())}
    if choices is not None:
        return answer
    if (inner := next((answer[name] for name in _WRAPPINGS if isinstance(answer.get(name), Mapping)), None)) is not None:
        return as_completion({**{name: value for name, value in answer.items() if name in _BESIDE}, **inner})
    if "candidates" in answer or "promptFeedback" in answer:
        return {**answer, "choices": _of_gemini(answer)}
    if isinstance(answer.get("message"), Mapping):  # Ollama, Cohere
        return {**answer, "choices": [answer]}
    for name in ("results", "outputs"):  # watsonx, Mistral on Bedrock
        if isinstance(found := answer.get(name), list) and found and isinstance(found[0], Mapping):
            return as_completion({**answer, **found[0], name: None})
    # OpenAI's Responses; Anthropic, whose content may be empty; text generation
    content = next((answer[name] for name in _CONTENTS if answer.get(name)), None)
    if content is None and answer.get("stop_reason"):
        content = ""
    finish = {"finish_reason": reason} if (reason := _within(answer, "incomplete_details", "reason")) else {}
    return answer if content is None else {**answer, "choices": [{**answer, **finish, "message": {"content": content}}]}


def _of_gemini(answer: Event) -> list[dict[str, Any]]:
    """Its candidates; of a prompt that is blocked there are none."""
    candidates = [one for one in answer.get("candidates") or [] if isinstance(one, Mapping)]
    if not candidates:
        feedback = answer.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, Mapping) else None
        return [{"finish_reason": f"content_filter: {reason}", "message": {}}] if reason else []
    return [{**one, "message": _gemini_message(one)} for one in candidates]


def _gemini_message(candidate: Event) -> dict[str, Any]:
    content = candidate.get("content")
    return {"content": content.get("parts") if isinstance(content, Mapping) else content}


def as_chunk(event: dict[str, Any]) -> dict[str, Any]:
    """An event of a stream as OpenAI's chunk; as it is, if it is one, or none that we know."""
    if event.get("choices") is not None:
        return event
    if isinstance(event.get("data"), dict):  # a gateway's wrapping
        event = {**event, **event["data"]}
    if isinstance(output := event.get("output"), dict):  # DashScope
        event = {**event, **output}
    if event.get("choices") is not None:
        return event
    kind = str(event.get("type") or "")
    read = _EVENTS.get(kind) or next((read for name, read in _MEMBERS.items() if event.get(name) is not None), None)
    if kind.startswith("response."):
        read = _of_responses
    return event if read is None else read(event)


def _chunk(event: Event, content: Any = None, finish: Any = None, **delta: Any) -> dict[str, Any]:
    about = {
        name: value for name, value in event.items() if name not in ("message", "delta", "type", "index", "content", "response")
    }
    return {**about, "choices": [{"delta": {"content": content, **delta}, "finish_reason": finish}]}


def _within(event: Event, *path: str) -> Any:
    """What is at the end of a path of members; None if there is no such path."""
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _begins(event: Event) -> dict[str, Any]:
    """Anthropic's message_start, which has the prompt's price."""
    message = event.get("message")
    about = {name: message.get(name) for name in ("id", "model", "usage")} if isinstance(message, Mapping) else {}
    return _chunk(about)


def _block_begins(event: Event) -> dict[str, Any]:
    block = event.get("content_block")
    if _within(event, "content_block", "type") == "tool_use":
        assert isinstance(block, Mapping), "it has a type"
        function = {"name": block.get("name"), "arguments": block.get("input") or ""}
        return _chunk({}, tool_calls=[{"index": event.get("index"), "id": block.get("id"), "function": function}])
    return _chunk({}, _within(event, "content_block", "text"))


def _block_goes_on(event: Event) -> dict[str, Any]:
    arguments = _within(event, "delta", "partial_json")
    if arguments is not None:
        return _chunk({}, tool_calls=[{"index": event.get("index"), "function": {"arguments": arguments}}])
    return _chunk({}, _within(event, "delta", "text"), reasoning=_within(event, "delta", "thinking"))


def _message_goes_on(event: Event) -> dict[str, Any]:
    return _chunk(event, finish=_within(event, "delta", "stop_reason"))


def _of_cohere(event: Event) -> dict[str, Any]:
    message = _within(event, "delta", "message") or {}
    content, call = _within(message, "content"), _within(message, "tool_calls")
    calls = [{**call, "index": event.get("index")}] if isinstance(call, Mapping) else None
    thoughts = _within(message, "content", "thinking") or message.get("tool_plan")
    return _chunk({}, _within({"content": content}, "content", "text"), reasoning=thoughts, tool_calls=calls)


def _cohere_ends(event: Event) -> dict[str, Any]:
    return _chunk({"usage": _within(event, "delta", "usage")}, finish=_within(event, "delta", "finish_reason"))


def _of_responses(event: Event) -> dict[str, Any]:
    """OpenAI's Responses: response.output_text.delta and the like."""
    kind, words, number = str(event["type"]), event.get("delta"), event.get("output_index")
    item = event.get("item")
    match kind.removeprefix("response."):
        case "output_text.delta":
            return _chunk({}, words)
        case "refusal.delta":
            return _chunk({}, refusal=words)
        case "reasoning_text.delta" | "reasoning_summary_text.delta":
            return _chunk({}, reasoning=words)
        case "output_item.added" if isinstance(item, Mapping) and item.get("type") == "function_call":
            call = {"index": number, "id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": ""}}
            return _chunk({}, tool_calls=[call])
        case "function_call_arguments.delta":
            return _chunk({}, tool_calls=[{"index": number, "function": {"arguments": words}}])
        case "completed" | "incomplete":
            about = {name: _within(event, "response", name) for name in ("id", "model", "usage")}
            finish = _within(event, "response", "incomplete_details", "reason") or "stop"
            whole = _within(event, "response", "output") or _within(event, "response", "output_text")
            return {**about, "choices": [{"message": {"content": whole}, "finish_reason": finish}]}
        case "failed":
            return {"error": _within(event, "response", "error") or "response.failed"}
    return _chunk({})


def _of_candidates(event: Event) -> dict[str, Any]:
    about = {name: value for name, value in event.items() if name != "candidates"}
    found = _of_gemini(event)
    if not found:
        return {**about, "choices": []}
    first = found[0]
    content = first["message"].get("content")
    return {**about, "choices": [{"delta": {"content": content, "tool_calls": _gemini_calls(content)}, **_finish(first)}]}


def _finish(candidate: Event) -> dict[str, Any]:
    return {"finish_reason": candidate.get("finish_reason") or candidate.get("finishReason")}


def _gemini_calls(content: Any) -> list[dict[str, Any]]:
    parts = content if isinstance(content, list) else []
    called = [
        part["functionCall"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("functionCall"), Mapping)
    ]
    return [{"function": {"name": one.get("name"), "arguments": one.get("args") or {}}} for one in called]


def _of_message(event: Event) -> dict[str, Any]:
    """Ollama's /api/chat; what has a text for a message is an error, and nothing of ours."""
    if not isinstance(event["message"], Mapping):
        return dict(event)
    return {**_chunk(event), "choices": [{"delta": dict(event["message"]), "finish_reason": _ollama_end(event)}]}


def _of_words(event: Event) -> dict[str, Any]:
    """Ollama's /api/generate, Cloudflare's run, DashScope's own text, text generation that was not streamed."""
    words = next((event[name] for name in ("response", "text", "generated_text") if isinstance(event.get(name), str)), None)
    if words is None:
        return dict(event)
    is_all = "generated_text" in event and "token" not in event
    return _chunk(event, words, event.get("finish_reason") or ("stop" if is_all else _ollama_end(event)))


def _ollama_end(event: Event) -> Any:
    return (event.get("done_reason") or "stop") if event.get("done") is True else None


def _of_token(event: Event) -> dict[str, Any]:
    """TGI's generate_stream."""
    words = None if _within(event, "token", "special") else _within(event, "token", "text")
    tokens = _within(event, "details", "generated_tokens")
    usage = {"usage": {"completion_tokens": tokens}} if tokens else {}
    return _chunk(usage, words, _within(event, "details", "finish_reason"))


def _of_converse(event: Event) -> dict[str, Any]:
    """Bedrock's ConverseStream."""
    block = _within(event, "contentBlockDelta", "delta")
    use = _within(event, "contentBlockStart", "start", "toolUse")
    arguments = _within(block or {}, "toolUse", "input")
    called = {"id": _within(use or {}, "toolUseId"), "name": _within(use or {}, "name"), "arguments": arguments or ""}
    calls = [called] if use or arguments else None
    thoughts = _within(block or {}, "reasoningContent", "text")
    finish = _within(event, "messageStop", "stopReason")
    usage = {"usage": _within(event, "metadata", "usage")}
    return _chunk(usage, _within(block or {}, "text"), finish, reasoning=thoughts, tool_calls=calls)


#: By an event's type: Anthropic's, then Cohere's.
_EVENTS: dict[str, Callable[[Event], dict[str, Any]]] = {
    "message_start": _begins,
    "content_block_start": _block_begins,
    "content_block_delta": _block_goes_on,
    "message_delta": _message_goes_on,
    **dict.fromkeys(("content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"), _of_cohere),
    "message-end": _cohere_ends,
}
#: By a member that an event has.
_MEMBERS: dict[str, Callable[[Event], dict[str, Any]]] = {
    "candidates": _of_candidates,
    "promptFeedback": _of_candidates,
    **dict.fromkeys(("contentBlockDelta", "contentBlockStart", "messageStop"), _of_converse),
    "token": _of_token,
    "message": _of_message,
    **dict.fromkeys(("response", "text", "generated_text"), _of_words),
}
