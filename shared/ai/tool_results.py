"""Results of tools that a model makes up: it has written a call, and goes on as if somebody had answered it. And what it was told
for itself and repeats: its tools, its instructions. No customer reads them, and nothing in them is a call.

<tool_response> (Hermes, Qwen), <function_results> (Claude), [TOOL_RESULTS] (Mistral), DeepSeek's with bars of its own,
<|tool_response> … <tool_response|> (Gemma), <|START_TOOL_RESULT|> (Cohere), ```tool_outputs (Gemini), <observation> (agents);
<tools> (Hermes, Qwen), [AVAILABLE_TOOLS] (Mistral).
"""

from __future__ import annotations

import re

_WHOSE = ("tool", "toolcall", "toolcode", "function", "functioncall", "codeexecution")
_WHAT = ("response", "result", "output", "content")
#: What it was told: in brackets and in tags, in tags only.
BRACKETED = ("available_tools", "system_prompt")
_IN_TAGS = (
    *("observation", "observations", "tools", "tool_definitions", "functions", "function_definitions", "search_results"),
    *("system_reminder", "system_instructions", "conversation_history", "chat_history"),
)
#: What they are called, without lines between the words; and how that is written between bars, for drafts.
NAMES = frozenset(
    (
        *(f"{whose}{what}{many}" for whose in _WHOSE for what in _WHAT for many in ("", "s")),
        *(name.replace("_", "") for name in (*BRACKETED, *_IN_TAGS)),
    )
)
BARRED = tuple(
    f"<|{before}tool_{what}{behind}|>"
    for what in (*_WHAT, *(f"{what}s" for what in _WHAT))
    for before in ("", "/", "start_", "end_", "begin_")
    for behind in ("", "_start", "_end", "_begin")
)
_NAMED = rf"(?:tool|function|code[_▁-]?execution)(?:[_▁-]?(?:call|code))?[_▁-]?(?:{'|'.join(_WHAT)})s?"
_GIVEN = "|".join(name.replace("_", "[_-]?") for name in (*BRACKETED, *_IN_TAGS))
#: What only looks like one: a link's text, a tag that somebody is told of, GLM's mark of a turn (template_turns.py).
_NONE = rf"\[/?(?:{'|'.join(_IN_TAGS)})\b|(?<=`)</?(?:{_GIVEN})\b|<\|observation\|>"
MARK = re.compile(
    rf"(?!{_NONE})[<\[](?P<before>[/|｜]{{0,2}}(?:(?:start|begin|end)_)?)(?:(?:seed|minimax|antml):)?(?P<name>{_NAMED}|{_GIVEN})"
    rf"(?P<behind>(?:[_▁](?:start|begin|end))?)(?:\s[^<>\[\]]{{0,200}})?(?P<bar>[|｜]?)[>\]]|```(?P<fence>{_NAMED})\b",
    re.I,
)


def without(text: str) -> str:
    """A text that has some, without them; one without an end goes on to the end of the text."""
    kept, end = list[str](), 0
    while mark := MARK.search(text, end):
        kept.append(text[end : mark.start()])
        end = _end_of(text, mark)
    return "".join([*kept, text[end:]]).strip()


def _end_of(text: str, mark: re.Match[str]) -> int:
    """Where that ends which a mark begins; the mark itself, if it begins nothing."""
    if mark["fence"]:
        place = text.find("```", mark.end())
        return len(text) if place < 0 else place + len("```")
    if _closes(mark):
        return mark.end()
    marks = (found for found in MARK.finditer(text, mark.end()) if not found["fence"] and _closes(found))
    return next((found.end() for found in marks if found["name"].lower() == mark["name"].lower()), len(text))


def _closes(mark: re.Match[str]) -> bool:
    is_barred_behind = bool(mark["bar"]) and not mark["before"]
    return is_barred_behind or "/" in mark["before"] or "end" in (mark["before"] + mark["behind"]).lower()
