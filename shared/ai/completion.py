"""What a provider's completion says, however its vendor puts it: one JSON object, whole or collected from a stream."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.ai import answer_text, calls, native, written_html
from shared.ai.calls import ToolCall
from shared.ai.failures import TOO_FEW_TOKENS, NoText, ProviderError, Usage
from shared.ai.tools import TOOLS
from shared.http import code_of
from shared.payloads import MAX_ID, strip_invalid

#: PostgreSQL's integer. A provider that counts more tokens than that has miscounted.
MAX_TOKENS = 2**31 - 1
#: UTF-8 bytes of a token, roughly, in any alphabet.
BYTES_PER_TOKEN = 4
#: Answers that a filter ended: content_filter (OpenAI), SAFETY, PROHIBITED_CONTENT (Gemini), guardrail_intervened (Bedrock).
_FILTERED = re.compile(
    r"filter|safety|prohibited|block|recitation|spii|guardrail|sensitive|moderation|refusal|toxic|policy|harmful|^risk", re.I
)
#: Answers that reached the limit of tokens, or the context's end: length (OpenAI), MAX_TOKENS (Gemini, Anthropic), model_length
#: (Mistral), model_context_window_exceeded (Anthropic, Zhipu), token_limit (watsonx), ERROR_LIMIT (Cohere), incomplete (OpenAI's
#: Responses).
_CUT_OFF = re.compile(r"length|max_?(?:output_)?tokens|context_?window|(?:token|time|error)_?limit|truncat|^incomplete", re.I)
#: Answers that the provider did not finish: insufficient_system_resource (DeepSeek), network_error (Zhipu), error (OpenRouter),
#: abort (vLLM, SGLang), MALFORMED_FUNCTION_CALL (Gemini, which calls that a filter where it speaks as OpenAI does).
_BROKEN_OFF = re.compile(
    r"(function_call_filter\.)?(error|(user_)?(abort(ed)?|cancel(l?ed)?)|[a-z]+_error|insufficient_system_resource|failed|preempted"
    r"|timeout|interrupted|(engine_)?overloaded|malformed_(function_call|response)|(unexpected|too_many)_tool_calls?)",
    re.I,
)
#: What libraries put before a reason: FinishReason.STOP, FINISH_REASON_STOP.
_REASON = re.compile(r"\A(?:finish_?reason[._])", re.I)
#: What providers call the reason.
_REASONS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "completionReason")
#: What some say in a reason's place while there is none.
_NO_REASON = re.compile(r"|null|none|unspecified|finish_reason_unspecified|in_progress", re.I)
#: The end of a sentence, in any script; not the number of a list's item.
_SENTENCE_END = re.compile(r"(?<!\n\d)(?<!\n\d\d)[.!?…]['\"»”’)\]*_]*(?=\s|\Z)|[。！？।؟۔]|\n")
#: Cutting at the end of a sentence loses at most this share of the text.
_MOST_LOST = 0.5
#: Ends a text that goes on.
CUT_MARK = " …"
_PROMPT_TOKENS = (
    *("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens", "prompt_eval_count"),
    *("promptTokens", "input_token_count", "inputTokenCount", "inputTextTokenCount"),
)
_COMPLETION_TOKENS = (
    *("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "outputTokens", "eval_count"),
    *("completionTokens", "generated_token_count", "outputTokenCount", "generation_token_count", "tokenCount"),
)
_TOTAL_TOKENS = ("total_tokens", "totalTokens", "totalTokenCount")
#: Where a completion may have its usage, and what it may be wrapped in.
_USAGE_PLACES = (
    *("usage", "x_groq", "usageMetadata", "usage_metadata", "meta", "billed_units", "tokens", "metadata", "token_usage"),
    *("tokenUsage", "amazon-bedrock-invocationMetrics"),
)
#: Types of a content's parts that are not for the customer: redacted_thinking, reasoning_text, reasoning.summary, summary_text,
#: and what a model looked up or called (web_search_tool_result, server_tool_use).
_THINKING_PART = re.compile(r"think|thought|reasoning|summary_text|_result\b|tool_use", re.I)


@dataclass(frozen=True)
class Completion:
    """The provider's reply and its price in tokens. The text is empty where it calls a tool without a word."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    request_id: str | None
    finish_reason: str | None
    tool: ToolCall | None = None
    #: The provider did not say what it costs.
    is_estimated: bool = False


def parse(
    answer: Any, model: str, messages: Sequence[Mapping[str, Any]], tools: Iterable[str] = (), own_name: str = ""
) -> Completion:
    """Reads a completion: `model` and `messages` are what was asked for, `tools` the names that were offered, `own_name` what the
    bot is called.

    Of several `choices` the first that says something is the answer, and in a stream the first: one is asked for, others say the
    same in other words.

    Raises NoText for one that was paid for and is of no use, and ProviderError for what is no completion, or half of one.
    """
    try:
        if not isinstance(answer.get("choices"), list):
            answer = native.as_completion(answer)
        if answer["choices"] == [] and _said(answer, _PROMPT_TOKENS):  # Gemini, of a prompt that it has read and blocks
            answer = {**answer, "choices": [{"finish_reason": None, "message": {}}]}
        choice = _first_said(answer["choices"])
        finish_reason = reason_of(choice)
        message = _message_of(choice)
        if not isinstance(message, Mapping) and finish_reason is None:
            raise TypeError
        message = message if isinstance(message, Mapping) else {}
        tool, text = _called_or_said(message, frozenset(tools), own_name)
        refusal = "" if text else answer_text.cleaned(text_of(message.get("refusal")) or _refusal_part(message.get("content")))
        written = [text_of(message.get(name)) for name in ("content", "reasoning_content", "reasoning", "thinking", "refusal")]
        found = Completion(text, _name(answer.get("model")) or model, 0, 0, _name(answer.get("id")), finish_reason, tool)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as problem:
        raise ProviderError(f"AI provider: not a completion ({type(problem).__name__})") from None
    if not answer.get("usage") and choice.get("usage"):
        answer = {**answer, "usage": choice["usage"]}
    usage = _usage(answer, found.model, messages, written)
    found = replace(
        found,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_estimated=usage.is_estimated,
    )
    return _checked(found, refusal, usage)


def _first_said(choices: Sequence[Any]) -> Mapping[str, Any]:
    """The first choice that says or calls something, or else the first."""
    said: Iterable[Mapping[str, Any]] = (
        choice
        for choice in choices
        if isinstance(choice, Mapping)
        and isinstance(message := _message_of(choice), Mapping)
        and any(message.get(name) for name in ("content", "tool_calls", "function_call", "refusal"))
    )
    first: Mapping[str, Any] = next(iter(said), choices[0])
    return first


def _checked(found: Completion, refusal: str, usage: Usage) -> Completion:
    """The completion as it may be sent. Raises NoText if it may not."""
    reason = _REASON.sub("", found.finish_reason or "").replace(": ", ".")  # Gemini: content_filter: SAFETY
    if refusal:
        return replace(found, text=refusal, finish_reason="refusal")
    if _BROKEN_OFF.fullmatch(reason):
        broken_off = ProviderError(f"AI provider: its answer broke off (finish_reason {code_of(reason)})")
        broken_off.usage = usage
        raise broken_off
    if _FILTERED.search(reason):  # what came before the filter may be half of what it was about
        raise NoText(f"AI provider: the answer was filtered (finish_reason {code_of(reason)})", usage)
    if found.tool or (found.text and not _CUT_OFF.search(reason)):
        return found
    if found.text:
        return replace(found, text=_to_sentence(written_html.begun_as_markdown(found.text)))
    if _CUT_OFF.search(reason):
        raise NoText(f"AI provider: an empty reply (finish_reason {code_of(reason)}): {TOO_FEW_TOKENS}", usage)
    raise NoText(f"AI provider: an empty reply (finish_reason {code_of(reason) or 'none'})", usage)


def _to_sentence(text: str) -> str:
    """An answer that reached its limit, up to the end of its last whole sentence."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if ends and ends[-1] >= len(text) * (1 - _MOST_LOST):
        return text[: ends[-1]].rstrip()
    return text[: max(text.rfind(" "), len(text) // 2)].rstrip() + CUT_MARK


def ends_with_sentence(text: str) -> bool:
    """Whether a text may be whole: its last sentence has an end."""
    text = text.rstrip()
    return any(match.end() == len(text) for match in _SENTENCE_END.finditer(text, max(0, len(text) - 20)))


def reason_of(choice: Mapping[str, Any]) -> str | None:
    """Why an answer has ended; None while it has not, or nobody says so."""
    reasons = (reason for name in _REASONS if (reason := _name(choice.get(name))) is not None)
    return next((reason for reason in reasons if not _NO_REASON.fullmatch(reason)), None)


def text_of(content: Any) -> str:
    """The text of a content: a text, a list of parts, an object, or nothing."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_of(part) for part in content)
    if not isinstance(content, Mapping) or content.get("thought") is True:
        return ""
    if _THINKING_PART.search(str(content.get("type", ""))):
        return ""
    return next((text for name in ("text", "content", "value", "parts") if (text := text_of(content.get(name)))), "")


def content_of(message: Mapping[str, Any]) -> str:
    """The text of a message or of a piece of one; of one that is marked as a thought, what stands behind the thought's end."""
    text = text_of(message.get("content")) or text_of(message.get("text"))
    if not text or not _is_thought(message):
        return text
    markers = answer_text.markers_of(text)
    return "" if not markers or markers[-1].opens else text[markers[-1].end :]


def _is_thought(message: Mapping[str, Any]) -> bool:
    """extra_content.google.thought, as Gemini has it where it speaks as OpenAI does; or what a gateway has made of that."""
    extra = message.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return any(isinstance(holder, Mapping) and holder.get("thought") is True for holder in (message, extra, google))


def _called_or_said(message: Mapping[str, Any], offered: frozenset[str], own_name: str) -> tuple[ToolCall | None, str]:
    """The tool that an answer calls, and what it says to the customer."""
    written = content_of(message) or _spoken(message)
    text = answer_text.cleaned(written, own_name)
    if tool := calls.in_message(message, offered):
        return tool, text
    if tool := calls.in_channels(written, offered) or calls.in_text(text, offered):
        return tool, ""
    return None, answer_text.words_of(calls.removed(text, TOOLS))


def _spoken(message: Mapping[str, Any]) -> str:
    """The words of an answer that is a voice."""
    audio = message.get("audio")
    return text_of(audio.get("transcript")) if isinstance(audio, Mapping) else ""


def _refusal_part(content: Any) -> str:
    """What parts of a content, or of what they are made of, say of a refusal."""
    parts = content if isinstance(content, list) else [content]
    found = (text_of(part.get("refusal")) or _refusal_part(part.get("content")) for part in parts if isinstance(part, Mapping))
    return "".join(found)


def _message_of(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answer: a `message`; a `delta`, although nobody asked for a stream; a `text`, as completions were of old."""
    found = next((one for name in ("message", "delta") if isinstance(one := choice.get(name), Mapping)), None)
    words = next((one for name in ("message", "text") if isinstance(one := choice.get(name), str)), None)
    return {"content": words} if found is None and words is not None else found


def _usage(answer: Mapping[str, Any], model: str, messages: Sequence[Mapping[str, Any]], written: Sequence[str]) -> Usage:
    """What the completion says it cost; estimated from the texts where it does not say."""
    prompt, completion = _said(answer, _PROMPT_TOKENS), _said(answer, _COMPLETION_TOKENS)
    total = _said(answer, _TOTAL_TOKENS)
    if prompt and total is not None and total - prompt >= (completion or 0):  # Gemini, xAI: thoughts are in the total alone
        completion = total - prompt
    is_nonsense = not prompt and not completion
    if prompt is not None and completion is not None and not is_nonsense:
        return Usage(prompt, completion, model)
    asked = [text_of(turn["content"]) for turn in messages]
    return Usage(prompt or _estimated(asked), completion or _estimated(written), model, is_estimated=True)


def _estimated(texts: Iterable[str]) -> int:
    return math.ceil(sum(len(text.encode("utf-8", "replace")) for text in texts) / BYTES_PER_TOKEN)


def _said(answer: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for usage in _usages(answer, depth=3):
        for name in names:
            if (tokens := _tokens(usage.get(name))) is not None:
                return tokens
    return None


def _usages(holder: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """Objects that may hold counts of tokens: the usage, and what it is wrapped in."""
    for place in _USAGE_PLACES:
        inner = holder.get(place)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, Mapping) and depth:
            yield inner
            yield from _usages(inner, depth - 1)
    if depth == 3:
        yield holder  # Ollama's own format counts beside the message


def _tokens(value: Any) -> int | None:
    """A count as a number or a text; None if it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return min(MAX_TOKENS, max(0, int(float(value))))
    except (ValueError, OverflowError):
        return None


def _name(value: Any) -> str | None:
    return strip_invalid(value)[:MAX_ID] if isinstance(value, str) else None
