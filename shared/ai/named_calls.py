"""Calls of tools that a model writes as it pleases, by one rule: the name of a tool, where no sentence has it.

A tool's name is a word of no language (`hand_over`). It is a call in a tag, wherever that stands; and where it stands alone: from
the beginning of a line or behind a sentence, to the end of its line, with nothing but marks, a label before it ("Action:") and
its arguments behind it: [hand_over], {{hand_over}}, /hand_over, hand_over(reason="loop"). Whoever speaks of a tool within a
sentence calls none.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

#: What models put before a name.
_LABELS = (
    *("action", "tool", "tool call", "tool_call", "tool name", "tool use", "function", "function call", "function_call"),
    *("call", "calls", "calling", "use", "uses", "using", "command", "invoke", "invoking", "trigger", "triggering", "execute"),
    *("executing", "run", "running"),
)
_LABEL = rf"(?:{'|'.join(sorted(_LABELS, key=len, reverse=True))})[*_`]{{0,2}}\s?[:=]?[*_`]{{0,2}}\s?"
_MARK_CHARACTERS = "[({<*_`\"'“„/@$~|>"
_OPENS, _CLOSES = rf"(?:[{re.escape(_MARK_CHARACTERS)}][ \t]?)", r"[\])}>*_`\"'”“/~|]"
#: Where one may begin: with a line, behind a sentence's end or an emoji; not behind a comma, or what begins an item of a list.
_PLACE = r"(?:^[ \t]{0,9}|(?<![\d\"'])[^\w\s,;'\"“„(\[{<>=/\\@#$&%+*_~|`-][)\]*_\"”»']{0,2}[ \t]{0,9})"
#: In brackets it may as well end a sentence that has no full stop.
_WITHIN = r"(?<=[^\S\n])(?=[\[{])"
#: What a server or Python has before it: functions.hand_over, default_api.hand_over, call:hand_over.
_OWNERS = ("function", "functions", "tool", "tools", "default_api", "api", "call")
_OWNER = rf"(?:(?:{'|'.join(_OWNERS)})[.:]){{0,2}}"
_FENCE = r"(?:```\w*[ \t]*\n[ \t]*)?"
_MARKS = rf"{_OPENS}{{0,6}}(?:{_LABEL})?{_OPENS}{{0,4}}{_OWNER}"
_BEFORE = re.compile(rf"(?:(?P<place>{_PLACE})|{_WITHIN})(?P<marks>{_FENCE}{_MARKS})\Z", re.I | re.M)
_BEFORE_BEGUN = re.compile(rf"(?:{_PLACE}|{_WITHIN})(?P<marks>{_MARKS})(?P<word>(?:\w[\w ]{{0,40}})?)\Z", re.I | re.M)
#: Behind a name: arguments in parentheses or braces, or a few words behind a colon.
_QUOTED = r"\"[^\"\n]*+\"|'[^'\n]*+'"
_ARGUMENTS = (
    rf"\s?\((?>(?:{_QUOTED}|[^()\"'])*)\)|\s?\([^()]{{0,300}}\)|\s{{0,3}}\{{[^{{}}]{{0,300}}\}}"
    r"|\s?[:=]\s?[^\n.!?{(]{1,100}|,?\s(?:with |the |its )*(?:reason|query)\b[^\n.!?]{0,80}"
)
_REST = rf"(?>(?:{_CLOSES}|[ \t.…;,])*)"
_AFTER = re.compile(rf"{_CLOSES}{{0,3}}(?:{_ARGUMENTS})?{_REST}(?:\n[ \t]*```)?[ \t]*$", re.M)
#: The same while it comes.
_AFTER_BEGUN = re.compile(
    rf"{_CLOSES}{{0,3}}(?:\s?\([^()]{{0,300}}|\s{{0,3}}\{{[^{{}}]{{0,300}}|\s?[:=]\s?[^\n.!?{{(]{{0,100}}"
    rf"|,?\s[^\n.!?{{(]{{0,24}}|(?:{_ARGUMENTS})?{_REST})\Z"
)
_DENIALS = ("false", "no", "none", "null")
#: What says behind a name that the tool is not called: hand_over: false.
_DENIED = re.compile(
    rf"[\"'”*_`]{{0,3}}\s?[:=]\s?[\"'“*_` ]{{0,3}}(?:{'|'.join(_DENIALS)})\b(?!-?\w|[^\S\n]*\w)[\"'”*_`]{{0,3}}(?P<closes>[\])]*)"
    r"|\"\s?:\s?\"\"",
    re.I,
)
#: [hand_over] where a line or a sentence begins, whatever follows.
_CLOSED = re.compile(r"[\]}]")
#: Tags that may have a tool's name for their text.
TAGS = ("tool", "tool_name", "name", "function", "function_name", "call", "action", "command", "invoke")
_TAG_BEGUN = re.compile(rf"<(?:{'|'.join(TAGS)})>\s{{0,9}}(?P<word>\w{{0,40}})\s{{0,9}}(?:</?\w{{0,20}})?\Z", re.I)
#: The end of a text, read backwards: its last word, and what follows it.
_LAST = re.compile(r"(?P<marks>\W{0,6})(?P<word>\w*)")
#: Characters before a name, and of an unfinished text, that are looked at.
_NEAR, _END = 80, 400

#: A name with what servers put around it: functions.hand_over:0, hand_over<|channel|>commentary; and what models put within.
_BARE = re.compile(r"\s*(?:\w+[./])*(\w+)((?:[- ]\w+)*)")
_BETWEEN_WORDS = re.compile(r"[\W_]")


class Named(NamedTuple):
    """A call in a text: its place, its tool, and where its arguments begin."""

    start: int
    name: str
    arguments: int
    end: int


def meant(name: Any, offered: Collection[str]) -> str:
    """The tool that a call names, whatever is around it or however written: HAND_OVER, handOver; "" if it was not offered."""
    found = _BARE.match(name) if isinstance(name, str) else None
    if found is None:
        return ""
    if (first := found[1].lower()) in offered:
        return first
    letters = letters_of(found[1] + found[2])
    return next((tool for tool in offered if letters_of(tool) == letters), "")


def letters_of(name: str) -> str:
    """What names have in common that differ in how their words are written."""
    return _BETWEEN_WORDS.sub("", name).lower()


def is_denied(value: Any, *, beside: int) -> bool:
    """Whether a member of a tool's name, with so many others, says that it is not called: {"hand_over": false, "answer": "…"}."""
    return beside > 0 if value in (None, "") else str(value).strip().lower() in _DENIALS


@cache
def _patterns(names: frozenset[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A name, and a tag that has one."""
    any_name = "|".join(map(re.escape, sorted(names)))
    tag = (
        rf"<(?:\w{{1,20}}[:.=])?(?P<of_its_own>{any_name})\b"
        rf"|<(?:{'|'.join(TAGS)})>\s{{0,9}}(?P<within>{any_name})\s{{0,9}}</\w{{1,20}}>"
        rf"|<\w{{1,20}}\s[^<>\n]{{0,40}}?[\"'=](?P<member>{any_name})(?!\w)"
    )
    return re.compile(rf"(?<!\w)(?:{any_name})(?!\w)", re.I), re.compile(tag, re.I)


def find(text: str, names: Collection[str], *, or_denied: bool = False) -> Named | None:
    """The first call in a text, by one of these names. `or_denied`: or what says in a line of its own that there is none."""
    if not names:
        return None
    name_of, tag_of = _patterns(frozenset(names))
    for found in name_of.finditer(text):
        call, denied = _alone(text, found), _DENIED.match(text, found.end())
        if call and not denied:
            return call
        if call and denied and or_denied and "{" not in text[call.start : found.start()]:
            return call._replace(end=denied.end()) if denied["closes"] else call  # [hand_over: no] We ship.
    tag = tag_of.search(text)
    if tag is None:
        return None
    name, end = tag[tag.lastgroup or 0], tag.end()
    closing = re.compile(rf"[^<>]*>(?:[^<>]*</{re.escape(name)}\s*>)?", re.I).match(text, end)
    return Named(tag.start(), name.lower(), end, closing.end() if closing else end)


def _alone(text: str, name: re.Match[str]) -> Named | None:
    before = _BEFORE.search(text[max(0, name.start() - _NEAR) : name.start()])
    if before is None or (name.start() > _NEAR and before.start("marks") == 0):
        return None
    is_closed = before["place"] is not None and before["marks"][:1] in ("[", "{")
    after = _AFTER.match(text, name.end()) or (_CLOSED.match(text, name.end()) if is_closed else None)
    if after and before["place"] is None and after[0].rstrip()[-1:] in ".…;,":
        return None
    return Named(name.start() - len(before["marks"]), name[0].lower(), name.end(), after.end()) if after else None


def begins(text: str, names: Collection[str]) -> int | None:
    """Where the end of a text that goes on may be the beginning of a call."""
    from_ = max(0, len(text) - _END)
    end = text[from_:].lower()
    for found in _patterns(frozenset(names))[0].finditer(end) if any(name in end for name in names) else ():
        before = _BEFORE.search(end[: found.start()])
        if before and _AFTER_BEGUN.match(end, found.end()):
            return from_ + before.start("marks")
    near = max(0, len(text) - _NEAR)
    if "<" in text[near:] and (begun := _TAG_BEGUN.search(text, near)) and _may_become(begun["word"], names):
        return begun.start()
    begun = _BEFORE_BEGUN.search(text, near) if _is_near(text[-_NEAR:], frozenset(names)) else None
    while begun and begun.start("marks") < len(text):
        if _may_become(begun["word"], (*names, *_LABELS, *_OWNERS)):
            return begun.start("marks")
        begun = _BEFORE_BEGUN.search(text, begun.start() + 1)
    return None


def _is_near(end: str, names: frozenset[str]) -> bool:
    """Whether a text ends in the beginning of a word of a call, in such a word, or in a mark. It is asked at each piece."""
    last = _LAST.match(end[::-1])
    assert last is not None, "it matches an empty end"
    word, words = last["word"][::-1].lower(), _words(names)
    if not last["marks"]:
        return any(known.startswith(word) for known in words)
    return word in words or end.rstrip(" \t")[-1:] in _MARK_CHARACTERS


@cache
def _words(names: frozenset[str]) -> frozenset[str]:
    return names | {word for label in (*_LABELS, *_OWNERS) for word in (label, *label.split())}


def _may_become(begun: str, words: Collection[str]) -> bool:
    return any(word.startswith(begun.lower()) for word in words)
