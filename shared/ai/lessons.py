"""What a refused request teaches of its model: members of its profile (profiles.py), so that it takes the next request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.ai.profiles import ONCE, WITHOUT_PICTURES, WITHOUT_TOOLS
from shared.ai.refusals import Complaint

#: Tokens: a shorter answer is not worth asking for.
LEAST_ANSWER = 64

_LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
_STATUSES = frozenset({400, 402, 404, 405, 415, 422, 500, 501})
#: A fault of the server that is one of the request after all; other faults pass, and teach nothing.
_UNSUPPORTED = re.compile(
    r"support|implement|not (allowed|available|enabled|permitted)|unknown|invalid|must|require|alternat|roles?\b", re.I
)
_NO_SYSTEM_ROLE = re.compile(
    r"system.?(role|message|prompt|instruction)s?\b.{0,60}(\bnot\b|n't|unsupported)|not support '?system|developer instruction"
    r"|only user.{0,40}roles? (is|are) supported|valid role|unexpected role|odd number|even index|start with a user message"
    r"|alternat|roles? must|after role|expected last role|first message.{0,40}user|unsupported role|invalid role"
    r"|(n't|not) (support|allow|accept|take)\w* .{0,12}system (role|message|prompt|instruction)",
    re.I | re.S,
)
_NO_TOOLS = re.compile(r"\btools?\b|tool[ _-]?(use|choice|call)|function[ _-]?(call|declaration)", re.I)
_TOOL_FAILED = re.compile(r"tool_use_failed|failed to call a function|tool call validation failed", re.I)
#: The answer would be longer than it may be, or there is no room for any: another name of the limit does not help.
_NO_ROOM = re.compile(r"output limit was reached|must be (at least 1|greater than 0|positive).{0,20}-\d", re.I)
#: What else servers call the limit that they were sent as max_tokens.
_LIMIT_ALIASES = re.compile(r"\bmax_?(output|new)_?tokens\b", re.I)
_NUMBER = re.compile(r"(?<![\w.-])(\d+)(?![\w-])(?!\.\d)")
_EXCLUSIVE = re.compile(r"(\d+) \(exclusive\)|(?:less|smaller) than (?!or)\D{0,3}(\d+)", re.I)
_CAN_AFFORD = re.compile(r"can only afford (\d{1,6})\b", re.I)
_NO_STREAM = re.compile(r"\bstream(ing|ed)?\b", re.I)
#: DashScope: "This model only support stream mode", "… must be set to false for non-streaming calls"
_ONLY_STREAM = re.compile(
    r"only supports? (the )?stream|non-?stream(ing)?\b|stream(ing)? (mode )?(is )?(required|mandatory)"
    r"|must (use|enable|be) stream|requires? (the )?stream|stream\W{0,3} must be (set to )?true|without stream"
    r"|must have \W?stream",
    re.I,
)
_ABOUT_PICTURES = re.compile(
    r"image|picture|vision|visual|multi-?modal|modalit|content\b.{0,80}\b(string|str|text)\b|(string|str) type", re.I | re.S
)
_THIS_PICTURE = re.compile(
    r"too (large|big|many|small)|exceed|size|dimension|pixel|decod|corrupt|download|fetch|process|invalid image", re.I
)
_LIMIT = re.compile(r"too (large|big|high)|at most|less than|<=|≤|range|maximum|supports? up to|between|exceed|greater", re.I)
_CONTEXT = re.compile(
    r"(?:maximum context length (?:is|of)|context length is only|must be <=)\D{0,3}(\d+)|\d \+ \d+ > (\d+)", re.I
)
_PROMPT = re.compile(
    r"(\d+) tokens from the input|(\d+) in your prompt|passed (\d+) input tokens|(\d+) \+ \d+ > \d"
    r"|(?:requested|given:?)[^(]{0,40}\((\d+) (?:in the|of text)|(?:has|contains) (?:at least )?(\d+) input tokens"
    r"|given: (\d+) `inputs`",
    re.I,
)


def learn(complaint: Complaint, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a refusal of this request teaches; {} if nothing that would change it."""
    if complaint.status not in _STATUSES or (complaint.status >= 500 and not _UNSUPPORTED.search(complaint.text)):
        return {}
    if complaint.status == 402:
        return _affordable(complaint.words)
    if (left := _left_for_answer(complaint.words, body)) is not None:
        return {ONCE: left} if left >= LEAST_ANSWER else {}  # the prompt is what is too long
    text = complaint.text
    if _NO_ROOM.search(text):
        return {}
    if "tools" in body and _TOOL_FAILED.search(text):
        return {WITHOUT_TOOLS: True}
    if "stream" not in body and _ONLY_STREAM.search(text):  # perhaps for long answers alone: Fireworks
        return {"stream": True}
    for name in _LIMIT_NAMES:
        if name in body and re.search(rf"\b{name}\b", text):
            return _lower_limit(complaint.words, body[name]) or _other_name(name)
        if name in body and _LIMIT_ALIASES.search(text) and (lower := _lower_limit(complaint.words, body[name])):
            return lower
    if "temperature" in body and "temperature" in text.lower():
        return {"temperature_limit": 1.0} if body["temperature"] > 1 else {"temperature": None}
    if "stream_options" in body and "stream_options" in text:
        return {"stream_options": None}
    if any(isinstance(message["content"], list) for message in body["messages"]) and _ABOUT_PICTURES.search(text):
        return {WITHOUT_PICTURES: True} if _THIS_PICTURE.search(text) else {"pictures": None}
    if (
        body["messages"][:1]
        and body["messages"][0]["role"] == "system"
        and (complaint.param.startswith("messages[0].role") or _NO_SYSTEM_ROLE.search(text))
    ):
        return {"system": None}
    if "tools" in body and _NO_TOOLS.search(text):
        return {"tools": None}
    if "stream" in body and _NO_STREAM.search(text):
        return {"stream": None}
    return {}


def _affordable(words: str) -> dict[str, Any]:
    """How long an answer the credit that is left is enough for (OpenRouter)."""
    found = _CAN_AFFORD.search(words)
    return {ONCE: int(found[1])} if found and int(found[1]) >= LEAST_ANSWER else {}


def _lower_limit(words: str, sent: int) -> dict[str, Any]:
    """The most that the answer's limit may be, if its value was refused. Numbers in names (gpt-4o-2024-08-06) are none."""
    if not _LIMIT.search(words):
        return {}
    exclusive = {int(next(filter(None, found))) for found in _EXCLUSIVE.findall(words)}
    numbers = (int(number) for number in _NUMBER.findall(words))
    smaller = [number - 1 if number in exclusive else number for number in numbers if LEAST_ANSWER <= number < sent]
    return {"max_tokens_limit": max(smaller)} if smaller else {}


def _other_name(name: str) -> dict[str, Any]:
    """How to limit the answer where the limit's name was refused."""
    return {"max_tokens": "max_completion_tokens" if name == "max_tokens" else None}


def _left_for_answer(words: str, body: Mapping[str, Any]) -> int | None:
    """Tokens that the context has left for the answer, if it is the answer's limit that does not fit beside this prompt."""
    sent = next((body[name] for name in _LIMIT_NAMES if name in body), None)
    context, prompt = _CONTEXT.search(words), _PROMPT.search(words)
    if sent is None or context is None or prompt is None:
        return None
    whole, taken = (int(next(filter(None, found.groups()))) for found in (context, prompt))
    left = whole - taken
    return left if left < sent else None
