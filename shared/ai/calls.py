"""Calls of tools, wherever a model or its server leaves them: in the fields made for them, in others, or in the text.

Each family of models writes a call in marks of its own. A server that knows the family reads them and takes them out of the
text; one that does not hands them on, and a customer would read them. Without marks it is a call only where it stands alone: as
the whole answer, as its first or as its last lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.ai import named_calls


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called."""

    name: str
    arguments: dict[str, Any]


#: What servers and models call a call's name, and its arguments.
_NAMES = ("tool", "name", "function", "tool_name", "function_name", "recipient_name", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params")
#: Members of a call that are neither.
_ABOUT = frozenset({*_NAMES, "type", "id", "index"})
#: How deep a call may be wrapped, and how many places of a text are tried.
_DEPTH, _PLACES = 6, 5

#: How a call begins. <tool_call> (Hermes, Qwen, GLM), <tool_call:opensource> (Hunyuan), <minimax:tool_call>, <longcat_tool_call>,
#: <TOOLCALL> (Nemotron), <function_calls> (Claude, OLMo; DeepSeek with its own bars), <|tool_calls_section_begin|> (Kimi),
#: <|tool_call> (Gemma, Phi, Granite), <|python_tag|> (Llama), <|action_start|> (InternLM), <|START_ACTION|> (Cohere),
#: <|tools_prefix|> (Apertus), [TOOL_CALLS] (Mistral), ```tool_code (Gemini).
MARK = re.compile(
    r"<(?:[a-z]+:|[a-z]+_|｜DSML｜)?(?:tool_?calls?|function_calls?|tool_use|tool_code)(?::\w+)?>|<function=|<(?:[a-z]+:|｜DSML｜)?invoke\s+name="
    r"|<\|(?:tool_calls?(?:_start|_begin|_section_begin)?|python_(?:tag|start)|action_start|start_action|tools_prefix)\|?>"
    r"|<｜tool[▁_]calls?[▁_]begin｜>|<start_function_call>|\[TOOL_CALLS\]|```tool_(?:code|calls?)\b",
    re.I,
)
#: How one ends, as far as that can be told.
_END = re.compile(
    r"</(?:[a-z]+:|[a-z]+_|｜DSML｜)?(?:tool_?(?:calls?|use|code)|function_calls?|function|invoke)(?::\w+)?>|<(?:/\|tool_calls?|\|/tool_calls?)\|>"
    r"|<\|(?:tool_calls?(?:_section)?_end|python_end|action_end|end_action|tools_suffix)\|>|<tool_call\|>|<end_function_call>"
    r"|<｜tool[▁_]calls?[▁_]end｜>|```(?=\s*\Z)",
    re.I,
)
#: Harmony, whose server has kept the marks of its channels, or dropped them: commentary to=functions.hand_over json{…}
_HARMONY = re.compile(
    r"(?:<\|(?:start|channel)\|>|\A)\s{0,9}(?:assistant\s{0,9})?(?:commentary|analysis)?\s{0,9}\bto=(?:functions\.)?(\w+)", re.I
)
#: What writers of text use for the quotation marks of JSON.
_QUOTES = re.compile(r'<escape>|<\|"\|>|\\{1,4}"|[“”„]')
#: An argument and its text, in each form: <parameter=reason>, <arg_key>, {"reason": "loop"} or reason="loop", <reason>.
_MEMBERS = (
    re.compile(r"<[^<>\s]{0,20}parameter(?:=|\s+name=)[\"']?(\w{1,40})[\"']?[^<>]*>([^<>]*)</"),
    re.compile(r"<\w{0,20}arg_key[:\w]*>\s*(\w{1,40})\s*</\w{0,20}arg_key[:\w]*>\s*<\w{0,20}arg_value[:\w]*>([^<>]*)</"),
    re.compile(r"""(?<!\w)["']?(\w{1,40})["']?\s{0,9}[:=]\s{0,9}(?:"([^"\n]*)"|'([^'\n]*)')"""),
    re.compile(r"<(\w{1,40})>([^<>]*)</\1>"),
)
#: A text of its own in parentheses: hand_over("loop")
_ONLY = re.compile(r"""\A\s*\(\s*["']([^"'\n]*)["']\s*,?\s*\)""")
#: What a call that is the whole answer may be wrapped in: ```json … ```, `…`, **…**, print(…), a word before it.
_WRAPPINGS = re.compile(
    r"\A(?:```\w*|[`*\s]|(?:json|tool[ _]calls?:?|functools|>>>|print\()(?=[\s\[{\w]))+|(?<![`*\s])[`*\s]+\Z", re.I
)
#: A place in a text from which an object may be a call: the beginning of a line, a sentence's end.
_PLACE = re.compile(r"(?:^|[:.!?…。！？])[ \t]*(?=\{|\[\s*\{)", re.M)
#: A line that is the beginning of an object, in a fence or not, or may become that: what stands before it, its first key.
_BEGUN = re.compile(
    r"(?:^|(?<=[:.!?…。！？]))[ \t]*(?P<begin>(?:```(?:json)?[ \t]*\n[ \t]*)?(?:\[\s*)?(?P<object>\{))\s*"
    r"[\"'“]?(?P<key>\w*)(?P<more>[\s\S]?)",
    re.M,
)
_MAY_BEGIN = re.compile(r"^[ \t]*(?:```(?:j(?:s(?:on?)?)?)?[ \t]*+(?:\n[ \t]*+)?|\[\s*)\Z", re.M)
#: Keys with which a call may begin, besides a tool's name; and characters after which an object is no call that goes on.
_FIRST_KEYS = (*_ABOUT, "tool_calls", "function_call")
_LONGEST = 1_000
#: Arguments without quotation marks behind a name: hand_over: loop; with reason loop; >loop</hand_over>; Reason: loop, below it.
_LOOSE = re.compile(
    r"\A(?:\s?[:=]|[\])}*`]{0,3},?\s(?:with\s|the\s|its\s)*(?=(?:reason|query)\b)|[^<>\n]{0,40}>|[^\w\n]{0,9}\n\s{0,9}(?=(?:reason|query)\W))"
    r"[^\w\n]{0,9}(?:(?:reason|query)\b[^\w\n]{0,9})?(?P<words>\w[^\n<>]{0,400}?)[^\w\n]{0,9}(?:$|<)",
    re.I | re.M,
)


def in_message(message: Mapping[str, Any], offered: Collection[str]) -> ToolCall | None:
    """The first call of a tool that was offered, in the fields of an answer."""
    content = message.get("content")
    places = (message.get("tool_calls"), message.get("function_call"), content if isinstance(content, list) else None)
    return next((call for place in places if (call := _in_value(_loaded(place), offered))), None)


def in_channels(text: str, offered: Collection[str]) -> ToolCall | None:
    """The call in a text whose channels (Harmony) nobody has read: it stands in one that is otherwise thoughts."""
    found = next((found for found in _HARMONY.finditer(text) if found[1].lower() in offered), None)
    return ToolCall(found[1].lower(), _arguments_in(text[found.end() :])) if found else None


def in_text(text: str, offered: Collection[str]) -> ToolCall | None:
    """The call that is written in an answer, or is all of it."""
    lowered = text.lower()
    if not any(name in lowered or name.replace("_", "") in lowered for name in offered):
        return None
    if marked := MARK.search(text):
        return _in_section(text[marked.start() :], offered)
    return _in_whole(text, offered) or _in_lines(text, offered) or _named(text, offered)


def removed(text: str, names: Collection[str] = ()) -> str:
    """The text without calls in marks, or of tools with these names: what nobody can call is not for the customer either."""
    if text[:1] == "{" and _is_call_alone(_loaded(text)):
        return ""
    if begins_at := MARK.search(text):
        ends = [found.end() for found in _END.finditer(text, begins_at.end())]
        text = f"{text[: begins_at.start()]}{text[ends[-1] :] if ends else ''}".strip()
    for _ in range(_PLACES if any(name in text.lower() for name in names) else 0):
        start = begins(text, names)
        if start is None:
            break
        text = f"{text[:start]}{text[_end_of(text, start, names) :]}".strip()
    return text


def _is_call_alone(value: Any) -> bool:
    """Whether JSON is nothing but a call, of whatever tool."""
    is_named = isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"].isidentifier()
    return is_named and set(value) <= {"name", "type", "id", "arguments"} and isinstance(value.get("arguments"), dict)


def _end_of(text: str, start: int, names: Collection[str]) -> int:
    """Where the call ends that begins there."""
    named = named_calls.find(text, names, or_denied=True)
    if named and named.start == start:
        return named.end
    begun = _BEGUN.search(text, start)
    assert begun is not None, "one begins there"
    _, end = json.JSONDecoder().raw_decode(text, begun.start("object"))
    behind = re.compile(r"[\]\s`]*").match(text, end)
    return behind.end() if behind else end


def _in_value(value: Any, offered: Collection[str], depth: int = _DEPTH) -> ToolCall | None:
    """The first call in JSON, however it is wrapped."""
    if not depth:
        return None
    if isinstance(value, Mapping):
        if name := next((name for key in _NAMES if (name := named_calls.meant(value.get(key), offered))), ""):
            return ToolCall(name, _arguments_beside(value))
        for key, inner in value.items():
            # {"hand_over": {"reason": "loop"}}, {"handover": true}; else it may be any member without the line
            may_call = ("_" in key or inner is True) and not named_calls.is_denied(inner, beside=len(value) - 1)
            if may_call and (name := named_calls.meant(key, offered)):
                return ToolCall(name, _arguments(inner))
        value = list(value.values())
    inner_values = value if isinstance(value, list) else []
    return next((call for inner in inner_values if (call := _in_value(inner, offered, depth - 1))), None)


def _arguments_beside(call: Mapping[str, Any]) -> dict[str, Any]:
    given = next((call[key] for key in _ARGUMENTS if key in call), None)
    return {key: value for key, value in call.items() if key not in _ABOUT} if given is None else _arguments(given)


def _arguments(given: Any) -> dict[str, Any]:
    """A call's arguments; {} if they are broken, for the name alone says what the model wants."""
    value = _loaded(given)
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, Mapping):
        return dict(value)
    text = value if isinstance(value, str) else given if isinstance(given, str) else ""
    return _members(text) or ({"value": text.strip()} if text.strip() and "{" not in text else {})


def _loaded(given: Any) -> Any:
    """JSON that is a text, also one that was made a text twice; its first value, if more follows."""
    for _ in range(2):
        if not isinstance(given, str):
            return given
        try:
            given, _end = json.JSONDecoder().raw_decode(given.strip())
        except (ValueError, RecursionError):
            return None
    return given


def _in_section(section: str, offered: Collection[str]) -> ToolCall | None:
    """The call in what follows a mark."""
    begins = re.search(r"[\[{]", section[1:])  # a mark may begin with one
    value = _loaded(section[begins.start() + 1 :]) if begins else None
    if call := _in_value(value, offered):
        return call
    named = re.search(rf"(?<![^\W_])({'|'.join(map(re.escape, offered))})(?!\w)", section, re.I)
    return ToolCall(named[1].lower(), _arguments_in(section[named.end() :])) if named else None


def _arguments_in(text: str) -> dict[str, Any]:
    """The arguments in what follows a name."""
    for written in (text, text := _QUOTES.sub('"', text)):
        begins = written.find("{")
        value = _loaded(written[begins:]) if begins >= 0 else None
        if isinstance(value, Mapping):
            return _arguments_beside(value)
    only = _ONLY.match(text)
    return {"value": only[1]} if only else _members(text)


def _members(text: str) -> dict[str, Any]:
    found = next((found for pattern in _MEMBERS if (found := pattern.findall(text))), [])
    return {key: next(filter(None, values), "").strip() for key, *values in found}


def _in_whole(text: str, offered: Collection[str]) -> ToolCall | None:
    """The call that the whole answer is: an object, a list, a function as Python writes it, or nothing but its name."""
    unwrapped = _WRAPPINGS.sub("", text)
    whole = _QUOTES.sub('"', unwrapped)
    if whole[:1] == whole[-1:] == '"':
        whole = whole[1:-1]
    if whole[:1] in "{[" and whole[-1:] in "}])":
        if call := _in_value(_loaded(unwrapped), offered) or _in_value(_loaded(whole), offered):
            return call
        members = _members(whole)  # broken JSON: single quotes, a comma too many
        name = next((members.pop(key) for key in _NAMES if key in members), "")
        if tool := named_calls.meant(name, offered):
            return ToolCall(tool, members)
    function = re.fullmatch(
        rf"\[?(?:\w+\.)*({'|'.join(map(re.escape, offered))})\s*+(?::?\s*+(\(.*\)|\{{.*\}}|)|:([^\n]+))\)?\]?", whole, re.S | re.I
    )
    if function is None:
        return None
    return ToolCall(function[1].lower(), _arguments(function[3]) if function[3] else _arguments_in(function[2]))


def _in_lines(text: str, offered: Collection[str]) -> ToolCall | None:
    """The call in lines of their own, before or behind words."""
    for value in _objects(text):
        if call := _in_value(value, offered):
            return call
    return None


def _objects(text: str) -> Iterator[Any]:
    """Objects that begin and end with a line."""
    for place in list(_PLACE.finditer(text))[:_PLACES]:
        try:
            value, end = json.JSONDecoder().raw_decode(text, place.end())
        except (ValueError, RecursionError):
            continue
        if not text[end:].partition("\n")[0].strip("` \t\r"):
            yield value


def begins(text: str, names: Collection[str], *, goes_on: bool = False) -> int | None:
    """Where a call begins that is in lines of its own behind the words of a text; None: there is none.

    `goes_on`: more of the text may come, so what may become one counts as well.
    """
    named = named_calls.find(text, names, or_denied=True)
    places = [named.start] if named else []
    places += [begun.start("begin") for begun in _BEGUN.finditer(text) if _may_be_call(text, begun, names, goes_on)][:1]
    if places or not goes_on:
        return min(places, default=None)
    if (may_begin := named_calls.begins(text, names)) is not None:
        return may_begin
    tail = _MAY_BEGIN.search(text, max(0, text.rfind("\n", 0, max(0, len(text) - 1)) + 1 - len("```json\n")))
    is_end = tail is not None and "`" in tail[0] and text.count("```", 0, tail.start()) % 2 == 1
    return tail.start() if tail and not is_end else None


def _may_be_call(text: str, begun: re.Match[str], names: Collection[str], goes_on: bool) -> bool:
    key = begun["key"]
    if not begun["more"]:
        return goes_on and any(known.startswith(key) for known in (*_FIRST_KEYS, *names))
    if key not in _FIRST_KEYS and key not in names:
        return False
    try:
        value, end = json.JSONDecoder().raw_decode(text, begun.start("object"))
    except (ValueError, RecursionError):
        return goes_on and len(text) - begun.start() < _LONGEST
    if text[end:].partition("\n")[0].strip("]` \t\r"):
        return False
    only_denies = isinstance(value, dict) and all(named_calls.meant(key, names) for key in value)
    return only_denies or _in_value(value, names) is not None


def _named(text: str, offered: Collection[str]) -> ToolCall | None:
    """The call by nothing but its name."""
    found = named_calls.find(text, offered)
    if found is None:
        return None
    given = text[found.arguments :]
    loose = _LOOSE.match(given)
    return ToolCall(found.name, _arguments_in(given) or ({"value": loose["words"]} if loose else {}))
