"""The words of an answer that are for the customer. What stands before, between and behind them is taken out: thoughts, results
of tools that the model makes up (tool_results.py), others' turns (template_turns.py), marks and roles' names (roles.py), JSON,
markup of our own prompt.

A model's thoughts are never for the customer, and never for a later prompt. Where a provider does not keep them apart
(`reasoning_content`), they stand in the text between markers. One of the two may be missing: a chat template begins the answer
with the opening one, and a limit of tokens ends it before the closing one.

A server whose chat template does not fit its model leaves marks of turns; a model that was asked for JSON somewhere writes JSON;
a small model copies markup from what it reads.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from shared.ai import headed_thoughts, roles, template_turns, tool_results, wrapped, written_html
from shared.payloads import is_blank, strip_invalid

#: Characters that a marker, a mark of its server or a call begins with.
TRIGGERS = "<[◁&`{\\【\ue200"
#: Names of the tags, as models write them: whose, what, and of which part, with or without a line between; some that are whole.
_WHOSE = ("", "internal", "inner", "hidden", "private", "self", "model")
_WHAT = ("think", "thinking", "thought", "thoughts", "reasoning", "scratchpad", "reflection", "deliberation", "monologue")
_PART = ("", "process", "content", "steps", "chain", "trace", "block", "summary")
TAGS = frozenset(
    (
        *(f"{whose}{what}{part}" for whose in _WHOSE for what in _WHAT for part in _PART),
        *("analysis", "internalanalysis", "planning", "cot", "chainofthought", "chainofthoughts"),
    )
)

#: What some vendors put before them: <seed:think>, <mm:think>, <thinking>, <longcat_think>; or behind: <think:opensource>.
PREFIXES = ("seed:", "mm:", "antml:", "ant:", "ant", "longcat_")

#: <think>, &lt;think&gt; (a server that makes HTML of its answers), \u003cthink\u003e (one that makes JSON of them twice),
#: [THINK] (Mistral), ◁think▷ (Kimi), <|begin_of_thought|> and the like, with bars of either width, <|START_THINKING|> (Cohere),
#: <unused94> (Gemma), <|think|> (Solar), <|inner_prefix|> (Apertus).
_LESS, _GREATER = r"(?:<|&lt;|\\u003c)", r"(?:>|&gt;|\\u003e)"
_NAMED = (
    rf"(?:{'|'.join(PREFIXES)})?(?:(?:{'|'.join(filter(None, _WHOSE))})[_-]?)?(?:{'|'.join(_WHAT)}|scratch[_-]pad)"
    rf"(?:[_-]?(?:{'|'.join(filter(None, _PART))}))?(?::[\w-]{{1,20}})?"
    r"|(?:internal[_-]?)?analysis|planning|cot|chain[_-]?of[_-]?thoughts?"
)
#: Between bars of either width.
PIPED = ("think", "thinking", "thought", "thoughts", "reasoning")
_PIPED = rf"(?:{'|'.join(PIPED)})"
#: No link's text, and no word of a sentence that begins with it: [Thoughts](https://shop.example/blog), [Thought] of the day.
_IN_BRACKETS = r"(?!(?-i:\[[A-Z][a-z]+\] [a-z]))\[(?:THINK|THINKING|THOUGHTS?|REASONING)\](?!\()"
_OPENS = (
    rf"{_LESS}\s*(?:{_NAMED})(?:\s(?:[^<>]{{0,200}}?[^<>/])?)?{_GREATER}|{_IN_BRACKETS}|◁think▷"
    rf"|<[|｜](?:(?:begin|start)[_▁]?(?:of)?[_▁]?)?{_PIPED}(?:[_▁](?:start|begin))?[|｜]>|<\|inner_prefix\|>|<unused94>(?:thought)?"
)
_CLOSES = (
    rf"{_LESS}\s*/\s*(?:{_NAMED})\s*{_GREATER}|\[/(?:THINK|THINKING|THOUGHTS?|REASONING)\]|◁/think▷"
    rf"|<[|｜](?:/|end[_▁]?(?:of)?[_▁]?){_PIPED}[|｜]>|<[|｜]{_PIPED}[_▁]end[|｜]>|<\|(?:content|inner_suffix)\|>|<unused95>"
)
#: Channels: <|channel|>analysis<|message|> (Harmony), <|channel>thought (Gemma).
_CHANNEL_OPENS = r"<\|channel\|?>\s*(?:analysis|commentary|thought)\b[^<]*(?:<\|message\|>)?"
_CHANNEL_CLOSES = (
    r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|?>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>|<channel\|>"
)
#: A fold of thoughts, by what its tag or its summary says: <details type="reasoning" …> (Open WebUI), <details><summary>Thinking
#: (12.3s)</summary>. What else ends with </details> is the answer's, and so is what else a fence frames:
#: ```thinking. They close what the same kind has opened, and nothing else.
_AROUND = r"(?:[^\w<]|<[^<>]{1,40}>){0,20}"
_SUMMARY = (
    rf"{_AROUND}(?:thinking|thoughts?|reasoning|thought process|chain of thought|denkprozess|gedankengang|razonamiento"
    rf"|raisonnement|已?(?:深度)?思考|推理)(?: ?(?:process|steps|summary|过程|過程|内容))?"
    rf"{_AROUND}(?:(?:for )?\d[^<]{{0,30}})?{_AROUND}"
)
_DETAILS = (
    r"<details\s[^<>]{0,200}(?<![a-z])(?:think|thinking|thoughts?|reasoning)(?![a-z])[^<>]{0,200}>"
    rf"|<details(?:\s[^<>]{{0,200}})?>\s{{0,9}}<summary(?:\s[^<>]{{0,80}})?>{_SUMMARY}</summary\s{{0,9}}>"
)
_FENCE = r"^[ \t]*```[ \t]*+(?P<language>[\w-]*+)[ \t]*+$"
_MARKER = re.compile(
    rf"(?P<opens>{_OPENS}|{_CHANNEL_OPENS})|(?P<closes>{_CLOSES}|{_CHANNEL_CLOSES})|(?P<details>{_DETAILS})|(?P<summary></details\s*>)"
    rf"|(?P<fence>{_FENCE})",
    re.I | re.M,
)
#: A tag of such a name that is the answer's own.
_OWN = re.compile(rf"<(?P<own>analysis|planning|reflection|reasoning){headed_thoughts.OWN_WORDS}", re.I)
#: What frames the answer itself and is not part of it.
_FRAME = re.compile(
    rf"<\|start\|>\s*(?:assistant|functions\.[^<]{{0,80}})|</?(?:{'|'.join(headed_thoughts.FRAMES)})>"
    r"|<\|(?:start|end|return|message|call|START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution|im_end)\|>",
    re.I,
)
#: Thoughts that begin the answer in words instead of markers: Harmony whose markers a server has dropped, and left the names of
#: the channels; Granite; what Poe quotes and ollama prints. Then those of them that have no end. Others: headed_thoughts.py.
_BARE_THOUGHTS = re.compile(
    r"\A\s*(?:assistant\s?)?(?:analysis|commentary)[\s\S]*?(?:assistantfinal\s*|assistant\s?final)(?=\S)"
    r"|\A\s*Here(?: is|'s) my thought process:[\s\S]*?(?:Here(?: is|'s) my response:\s*|\Z)"
    r"|\A\s*[*_]?Thinking(?:\.\.\.|…)[*_]?[^\S\n]*+\n(?:\s*+>[^\n]*(?:\n|\Z))+\s*"
    r"|\A\s*Thinking(?:\.\.\.|…)[^\S\n]*+\n[\s\S]*?\.\.\.done thinking\.\s*"
    r"|\A\s*assistant(?:analysis|commentary)[\s\S]*"
)

#: The knowledge's markup, in an answer that repeats it; and what servers mark in theirs: a box around the answer (Zhipu), what
#: they have searched for (xAI, OpenAI).
MARKUP = re.compile(
    r"</?knowledge>\s*|<item number=\"\d{1,3}\"[^<>]*>|</item>|<\|(?:begin|end)_of_box\|>"
    r"|<grok:render\b[^<>]*>(?:(?!</grok:render>)[\s\S]){0,400}</grok:render>|\ue200[^\ue200\ue201]{0,300}\ue201"
    r"|【\d{1,3}(?::\d{1,3})?†[^】\n]{0,80}】"
)
#: Letters that somebody escaped for JSON once too often.
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_ESCAPED_LINE_END = re.compile(r"\\n\\n|(?<=[.!?…)。])\\n")
#: What a program writes where there is no answer, letter for letter: "Null" is a German's answer.
NOTHING = ("null", "undefined", "nan", "NaN", "[object Object]")
_MAY_BE_WRAPPED = re.compile(r'\s*(?:```|[{\["]|json\s*[{\[]|<json>)', re.I)
_CODE = re.compile(r"(```[\s\S]*?(?:```|\Z)|`[^`\n]*`)")


def cleaned(text: str, own_name: str = "") -> str:
    """The model's own turn without its thoughts; "" if nothing of it can be seen, like a space without a width.

    A mark of a template ends the turn wherever it stands; by names only the answer is read, for thoughts quote the conversation.
    """
    text = strip_invalid(text.replace("\x00", ""))
    if _unwrapped(text) is not text:  # JSON may have escaped its marks; it is read whole (words_of)
        return text
    text = roles.without_beginning(text, own_name)
    text = without_thoughts(template_turns.own(text)[0] if template_turns.MARK.search(text) else text)
    text = tool_results.without(text) if tool_results.MARK.search(text) else text
    text = roles.before_next_turn(roles.without_beginning(text, own_name), own_name)
    text = roles.without_end(text).strip()
    return "" if is_blank(text) or text in NOTHING else text


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
    found, within, depth, is_code, own_until = list[Marker](), "", 0, False, 0
    for match in _MARKER.finditer(text):
        kind, is_thought = match.lastgroup or "", False
        if own := _OWN.match(text, match.start()):
            own_until = own.end()
        if match.start() < own_until:
            continue
        if kind == "fence":
            language = re.sub("[_-]", "", match["language"].lower())
            is_thought = within == "fence" or (not within and language in TAGS)
            is_code = not is_thought and not within and (bool(language) or not is_code)
            depth = depth + (1 if language else -1) if within == "fence" else 1
            if within == "fence" and depth:  # code within thoughts
                continue
        elif kind == "summary":
            is_thought = within == "details"
        elif within not in ("fence", "details"):  # a fold in code is what somebody asked for
            is_thought = kind != "details" or not (is_code or text[match.start() - 1 : match.start()] == "`")
        if is_thought:
            opens = kind in ("opens", "details") or (kind == "fence" and not within)
            within = kind if opens else ""
            found.append(Marker(match.start(), match.end(), opens))
    return found


def visible_part(text: str) -> tuple[str, bool]:
    """The text without its thoughts, and whether it ends in the middle of one."""
    for thoughts in (_BARE_THOUGHTS, headed_thoughts.THOUGHTS):
        if found := thoughts.match(text):
            text = text[found.end() :]
    if framed := headed_thoughts.FRAMED.match(text):
        text = framed["inner"].strip()
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
    inner = _unwrapped(text)
    text = text if inner is text else cleaned(inner)
    text = MARKUP.sub("", text)
    if "<" in text and (markdown := written_html.as_markdown(text)) is not None:
        return markdown
    pieces = _CODE.split(text)  # every second one is code
    return "".join(piece if place % 2 else _readable(piece) for place, piece in enumerate(pieces)).strip()


def _unwrapped(text: str) -> str:
    """What an answer says that is JSON, or a fence around a text, from its beginning to its end; else the text itself."""
    return wrapped.words_of(text) if _MAY_BE_WRAPPED.match(text) else text


def _readable(text: str) -> str:
    if "\\" in text:
        text = _ESCAPED.sub(_letters, text)
        if "\n" not in text and _ESCAPED_LINE_END.search(text):
            text = text.replace("\\n", "\n")
    return written_html.ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    """What it stands for; one of which nothing would be seen, or that stands for nothing, as it is."""
    character = html.unescape(entity[0]).replace("\xa0", " ")
    return character if len(character) == 1 and character.isprintable() and character != "\ufffd" else entity[0]


def _letters(escaped: re.Match[str]) -> str:
    letters = escaped[0].encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return escaped[0] if letters.isascii() else letters
