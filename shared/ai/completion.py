"""What a provider's completion says, however its vendor puts it: one JSON object, whole or collected from a stream."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.ai import calls, thoughts
from shared.ai.calls import ToolCall
from shared.ai.failures import TOO_FEW_TOKENS, NoText, ProviderError, Usage
from shared.http import code_of
from shared.payloads import MAX_ID, strip_invalid

#: PostgreSQL's integer. A provider that counts more tokens than that has miscounted.
MAX_TOKENS = 2**31 - 1
#: UTF-8 bytes of a token, roughly, in any alphabet.
BYTES_PER_TOKEN = 4
#: Answers that a filter ended: content_filter (OpenAI), SAFETY, PROHIBITED_CONTENT (Gemini), guardrail_intervened (Bedrock).
_FILTERED = re.compile(r"filter|safety|prohibited|blocklist|recitation|spii|guardrail|sensitive|moderation|refusal|toxic", re.I)
#: Answers that reached the limit of tokens, or the context's end: length (OpenAI), MAX_TOKENS (Gemini, Anthropic), model_length
#: (Mistral), model_context_window_exceeded (Anthropic, Zhipu), token_limit (watsonx), ERROR_LIMIT (Cohere).
_CUT_OFF = re.compile(r"length|max_?(?:output_)?tokens|context_window|(?:token|time|error)_?limit|truncat", re.I)
#: Answers that the provider did not finish: insufficient_system_resource (DeepSeek), network_error (Zhipu), error (OpenRouter),
#: abort (vLLM, SGLang), MALFORMED_FUNCTION_CALL (Gemini, which calls that a filter where it speaks as OpenAI does).
_BROKEN_OFF = re.compile(
    r"(function_call_filter\.)?(error|abort(ed)?|cancell?ed|(network|internal|server|engine)_error|insufficient_system_resource"
    r"|timeout|interrupted|malformed_(function_call|response)|unexpected_tool_call)",
    re.I,
)
#: The end of a sentence, in any script; not the number of a list's item.
_SENTENCE_END = re.compile(r"(?<!\n\d)(?<!\n\d\d)[.!?…]['\"»”’)\]*_]*(?=\s|\Z)|[。！？।؟۔]|\n")
#: Cutting at the end of a sentence loses at most this share of the text.
_MOST_LOST = 0.5
#: Ends a text that goes on.
CUT_MARK = " …"
_PROMPT_TOKENS = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens", "prompt_eval_count")
_COMPLETION_TOKENS = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokens",
    "eval_count",
)
#: Where a completion may have its usage, and what it may be wrapped in.
_USAGE_PLACES = ("usage", "x_groq", "usageMetadata", "usage_metadata", "meta", "billed_units", "tokens", "metadata")
#: Types of a content's parts that are not for the customer: redacted_thinking, reasoning_text, reasoning.summary, summary_text.
_THINKING_PART = re.compile(r"think|thought|reasoning|summary_text", re.I)


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


def parse(answer: Any, model: str, messages: Sequence[Mapping[str, Any]], tools: Iterable[str] = ()) -> Completion:
    """Reads a completion: `model` and `messages` are what was asked for, `tools` the names that were offered.

    Raises NoText for one that was paid for and is of no use, and ProviderError for what is no completion, or half of one.
    """
    try:
        if answer["choices"] == [] and _said(answer, _PROMPT_TOKENS):  # Gemini, of a prompt that it has read and blocks
            answer = {**answer, "choices": [{"finish_reason": None, "message": {}}]}
        choice = answer["choices"][0]
        finish_reason = _name(choice.get("finish_reason"))
        message = _message_of(choice)
        if not isinstance(message, Mapping) and finish_reason is None:
            raise TypeError
        message = message if isinstance(message, Mapping) else {}
        tool, text = _called_or_said(message, frozenset(tools))
        refusal = "" if text else _clean(text_of(message.get("refusal")) or _refusal_part(message.get("content")))
        written = [text_of(message.get(name)) for name in ("content", "reasoning_content", "reasoning", "refusal")]
        found = Completion(text, _name(answer.get("model")) or model, 0, 0, _name(answer.get("id")), finish_reason, tool)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as problem:
        raise ProviderError(f"AI provider: not a completion ({type(problem).__name__})") from None
    usage = _usage(answer, found.model, messages, written)
    found = replace(
        found,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_estimated=usage.is_estimated,
    )
    return _checked(found, refusal, usage)


def _checked(found: Completion, refusal: str, usage: Usage) -> Completion:
    """The completion as it may be sent. Raises NoText if it may not."""
    reason = (found.finish_reason or "").replace(": ", ".")  # Gemini: content_filter: SAFETY
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
        return replace(found, text=_to_sentence(found.text))
    if _CUT_OFF.search(reason):
        raise NoText(f"AI provider: an empty reply (finish_reason {code_of(reason)}): {TOO_FEW_TOKENS}", usage)
    raise NoText(f"AI provider: an empty reply (finish_reason {code_of(reason) or 'none'})", usage)


def _to_sentence(text: str) -> str:
    """An answer that reached its limit, up to the end of its last whole sentence."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if ends and ends[-1] >= len(text) * (1 - _MOST_LOST):
        return text[: ends[-1]].rstrip()
    return text[: max(text.rfind(" "), len(text) // 2)].rstrip() + CUT_MARK


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


def _called_or_said(message: Mapping[str, Any], offered: frozenset[str]) -> tuple[ToolCall | None, str]:
    """The tool that an answer calls, and what it says to the customer."""
    written = text_of(message.get("content"))
    text = _clean(written)
    if tool := calls.in_message(message, offered):
        return tool, text
    if tool := calls.in_channels(written, offered) or calls.in_text(text, offered):
        return tool, ""
    return None, calls.removed(text)


def _refusal_part(content: Any) -> str:
    parts = content if isinstance(content, list) else [content]
    return "".join(text_of(part.get("refusal")) for part in parts if isinstance(part, Mapping))


def _message_of(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answer: a `message`; a `delta`, although nobody asked for a stream; a `text`, as completions were of old."""
    found = next((one for name in ("message", "delta") if isinstance(one := choice.get(name), Mapping)), None)
    words = next((one for name in ("message", "text") if isinstance(one := choice.get(name), str)), None)
    return {"content": words} if found is None and words is not None else found


#: What ends a turn for the model, where a server does not know it and leaves it in the text.
_END_OF_TURN = re.compile(
    r"(?:\s*(?:<\|(?:im_end|eot_id|eom_id|eot|end|return|endoftext|end_of_text|end_of_turn)\|>|<end_of_turn>|<turn\|>|<eos>"
    r"|<｜end▁of▁sentence｜>))+\s*\Z"
)


def _clean(text: str) -> str:
    """What is to be read of it; "" if nothing can be seen, like a space without a width."""
    text = thoughts.without(_END_OF_TURN.sub("", strip_invalid(text.replace("\x00", "")))).strip()
    return text if any(character.isprintable() and not character.isspace() for character in text) else ""


def _usage(answer: Mapping[str, Any], model: str, messages: Sequence[Mapping[str, Any]], written: Sequence[str]) -> Usage:
    """What the completion says it cost; estimated from the texts where it does not say."""
    prompt, completion = _said(answer, _PROMPT_TOKENS), _said(answer, _COMPLETION_TOKENS)
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
