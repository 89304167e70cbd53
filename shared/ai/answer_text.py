"""The words of an answer that are for the customer. What stands before, between and behind them is taken out: thoughts, marks of
turns and roles' names (roles.py), JSON, markup of our own prompt.

A model's thoughts are never for the customer, and never for a later prompt. Where a provider does not keep them apart
(`reasoning_content`), they stand in the text between markers. One of the two may be missing: a chat template begins the answer
with the opening one, and a limit of tokens ends it before the closing one.

A server whose chat template does not fit its model leaves marks of turns; a model that was asked for JSON somewhere writes JSON;
a small model copies markup from what it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.ai import roles
from shared.ai.roles import ANSWER_HEAD
from shared.payloads import strip_invalid

#: Characters that a marker or a call begins with.
TRIGGERS = "<[◁&`{\\"
#: Names of the tags, as models write them.
TAGS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "scratchpad", "reflection", "analysis"),
    *("reasoning_content", "thinking_process", "thought_process", "inner_thoughts", "inner_monologue", "internal_monologue"),
    *("chain_of_thought", "cot", "reasoning_process", "inner_thought", "internal_reasoning", "internal_thoughts"),
    *("planning", "scratch_pad", "deliberation"),
)

#: What some vendors put before them: <seed:think>, <mm:think>, <thinking>, <longcat_think>.
PREFIXES = ("seed:", "mm:", "antml:", "ant", "longcat_")

#: <think>, &lt;think&gt; (a server that makes HTML of its answers), \u003cthink\u003e (one that makes JSON of them twice),
#: [THINK] (Mistral), ◁think▷ (Kimi), <|begin_of_thought|>, <|START_THINKING|> (Cohere), <unused94> (Gemma), <|think|> (Solar),
#: <|inner_prefix|> (Apertus).
_LESS, _GREATER = r"(?:<|&lt;|\\u003c)", r"(?:>|&gt;|\\u003e)"
_NAMED = rf"(?:{'|'.join(PREFIXES)})?(?:{'|'.join(TAGS)})"
_OPENS = (
    rf"{_LESS}\s*{_NAMED}(?:\s(?:[^<>]*?[^<>/])?)?{_GREATER}|\[(?:THINK|THINKING|REASONING)\]|◁think▷"
    r"|<\|(?:begin_of_thought|begin_of_reasoning|START_THINKING|thinking|think|reasoning|inner_prefix)\|>|<unused94>(?:thought)?"
)
_CLOSES = (
    rf"{_LESS}\s*/\s*{_NAMED}\s*{_GREATER}|\[/(?:THINK|THINKING|REASONING)\]|◁/think▷"
    r"|<\|(?:end_of_thought|end_of_reasoning|END_THINKING|/thinking|/think|/reasoning|content|inner_suffix)\|>|<unused95>"
)
#: Channels: <|channel|>analysis<|message|> (Harmony), <|channel>thought (Gemma).
_CHANNEL_OPENS = r"<\|channel\|?>\s*(?:analysis|commentary|thought)\b[^<]*(?:<\|message\|>)?"
_CHANNEL_CLOSES = r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|?>\s*final\b[^<]*<\|message\|>|<channel\|>"
#: Open WebUI: <details type="reasoning" …>. What else ends with </details> is the answer's, and so is what else a fence frames:
#: ```thinking. They close what the same kind has opened, and nothing else.
_DETAILS = rf"<details\s[^<>]{{0,200}}\btype\s*=\s*[\"']?(?:{'|'.join(TAGS)})\b[^<>]{{0,200}}>"
_FENCE = r"^[ \t]*```[ \t]*+(?P<language>[\w-]*+)[ \t]*+$"
_MARKER = re.compile(
    rf"(?P<opens>{_OPENS}|{_CHANNEL_OPENS})|(?P<closes>{_CLOSES}|{_CHANNEL_CLOSES})|(?P<details>{_DETAILS})|(?P<summary></details\s*>)"
    rf"|(?P<fence>{_FENCE})",
    re.I | re.M,
)
#: What frames the answer itself and is not part of it.
_FRAME = re.compile(
    r"<\|start\|>\s*assistant|</?(?:answer|response|reply|output|final|final_answer)>"
    r"|<\|(?:start|end|return|message|call|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution|im_end)\|>",
    re.I,
)
#: How thoughts are headed by models that were taught to think aloud.
THOUGHT_NAMES = ("Thought", "Thoughts", "Reasoning", "Thinking", "Thought process", "Gedanken", "Überlegung", "Razonamiento")
THOUGHT_HEADS = tuple(f"{mark}{word}:" for mark in ("", "**") for word in THOUGHT_NAMES)
#: Thoughts that begin the answer in words instead of markers: Harmony whose markers a server has dropped, and left the names of
#: the channels; Granite; what Poe quotes and ollama prints; ReAct. Then those of them that have no end.
_BARE_THOUGHTS = re.compile(
    r"\A\s*(?:assistant\s?)?(?:analysis|commentary)[\s\S]*?(?:assistantfinal\s*|assistant\s?final)(?=\S)"
    r"|\A\s*Here(?: is|'s) my thought process:[\s\S]*?(?:Here(?: is|'s) my response:\s*|\Z)"
    r"|\A\s*[*_]?Thinking(?:\.\.\.|…)[*_]?[^\S\n]*+\n(?:\s*+>[^\n]*(?:\n|\Z))+\s*"
    r"|\A\s*Thinking(?:\.\.\.|…)[^\S\n]*+\n[\s\S]*?\.\.\.done thinking\.\s*"
    rf"|\A\s*(?:{'|'.join(map(re.escape, THOUGHT_HEADS))})[\s\S]*?\n[ \t]*{ANSWER_HEAD}"
    r"|\A\s*assistant(?:analysis|commentary)[\s\S]*"
)

#: The knowledge's markup, in an answer that repeats it.
MARKUP = re.compile(r"</?knowledge>\s*|<item number=\"\d{1,3}\"[^<>]*>|</item>")
#: What our prompt escapes, or a server does.
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|#x27|#39);")
_CHARACTERS = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'"}
#: Letters that somebody escaped for JSON once too often.
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_ESCAPED_LINE_END = re.compile(r"\\n\\n|(?<=[.!?…)。])\\n")
_CODE = re.compile(r"(```[\s\S]*?(?:```|\Z)|`[^`\n]*`)")
#: Languages of a fence around a text that is no code.
_TEXTS = ("markdown", "md", "text", "txt")
#: Members of an object in which an answer may be.
_ANSWERS = ("answer", "response", "reply", "final_answer", "message", "text", "content", "output")


def cleaned(text: str, own_name: str = "") -> str:
    """The model's own turn without its thoughts; "" if nothing of it can be seen, like a space without a width.

    A mark of a template ends the turn wherever it stands; by names only the answer is read, for thoughts quote the conversation.
    """
    text = strip_invalid(text.replace("\x00", ""))
    if _unwrapped(text) is not text:  # JSON may have escaped its marks; it is read whole (words_of)
        return text
    text = without_thoughts(roles.before_marked_turn(roles.without_beginning(text, own_name)))
    text = roles.before_next_turn(roles.without_beginning(text, own_name), own_name)
    text = roles.without_end(text).strip()
    return text if any(character.isprintable() and not character.isspace() for character in text) else ""


def without_thoughts(text: str) -> str:
    """The text without its thoughts; "" if it is nothing else."""
    visible, _ = visible_part(text)
    return text if visible is text else visible.strip()


class Marker(NamedTuple):
    """Where thoughts begin or end."""

    start: int
    end: int
    opens: bool


def markers_of(text: str) -> list[Marker]:
    """The markers of a text, without what only looks like one."""
    if not any(trigger in text for trigger in TRIGGERS):
        return []
    found, within, depth = list[Marker](), "", 0
    for match in _MARKER.finditer(text):
        kind, is_thought = match.lastgroup or "", False
        if kind == "fence":
            language = match["language"].lower()
            is_thought = within == "fence" or (not within and language in TAGS)
            depth = depth + (1 if language else -1) if within == "fence" else 1
            if within == "fence" and depth:  # code within thoughts
                continue
        elif kind == "summary":
            is_thought = within == "details"
        elif within not in ("fence", "details"):
            is_thought = True
        if is_thought:
            opens = kind in ("opens", "details") or (kind == "fence" and not within)
            within = kind if opens else ""
            found.append(Marker(match.start(), match.end(), opens))
    return found


def visible_part(text: str) -> tuple[str, bool]:
    """The text without its thoughts, and whether it ends in the middle of one."""
    bare = _BARE_THOUGHTS.match(text)
    if bare:
        text = text[bare.end() :]
    markers = markers_of(text)
    if not markers:
        return text, False
    visible, begin, is_thinking, has_closed = "", 0, False, False
    for marker in markers:
        piece = "" if is_thinking else text[begin : marker.start]
        if marker.opens:
            visible, is_thinking = visible + piece, True
        elif is_thinking:
            is_thinking, has_closed = False, True
        elif has_closed and not text[marker.end :].strip():
            visible += piece  # a closing marker too many, behind the answer
        else:
            visible, has_closed = "", True  # all before it were thoughts, whose beginning is not marked
        begin = marker.end
    visible += "" if is_thinking else text[begin:]
    return _FRAME.sub("", visible), is_thinking


def words_of(text: str) -> str:
    """The words for the customer in an answer without calls and thoughts."""
    unwrapped = _unwrapped(text)
    text = text if unwrapped is text else cleaned(unwrapped)
    text = MARKUP.sub("", text)
    pieces = _CODE.split(text)  # every second one is code
    return "".join(piece if place % 2 else _readable(piece) for place, piece in enumerate(pieces)).strip()


def _readable(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED.sub(_letters, text)
        if "\n" not in text and _ESCAPED_LINE_END.search(text):
            text = text.replace("\\n", "\n")
    return _ENTITY.sub(lambda found: _CHARACTERS[found[0]], text)


def _letters(escaped: re.Match[str]) -> str:
    letters = escaped[0].encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return escaped[0] if letters.isascii() else letters


def _unwrapped(text: str) -> str:
    """What an answer says that is JSON, or a fence around a text, from its beginning to its end."""
    inner, language = text.strip(), ""
    if len(inner) > 6 and inner.startswith("```") and inner.endswith("```"):
        language, _, inner = inner[3:-3].partition("\n")
        language, inner = language.strip().lower(), inner.strip()
    if language in _TEXTS and "```" not in inner:
        return inner
    if language not in ("", "json"):
        return text
    if inner[:1] + inner[-1:] not in ("{}", "[]", '""'):
        return text
    try:
        value: Any = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return text
    return _words_in(value) or text


def _words_in(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        return "".join(part["text"] for part in value if isinstance(part.get("text"), str)).strip()
    if not isinstance(value, Mapping):
        return ""
    return next((words.strip() for name in _ANSWERS if isinstance(words := value.get(name), str) and words.strip()), "")
