"""What an answer is taken from: a model writes [1] behind what item 1 of its prompt says.

A customer sees no such numbers: they are taken out of the text, or become the item's title where the sentence needs a name, and
those that were given become links. Any other number in brackets is the business's own (code, a price, a list, a phone number),
and stays. While an answer is streamed the same function works on what has come so far, so that no number flashes by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from shared.ai import source_lists
from shared.ai.prompt import Item, cut
from shared.ai.source_lists import AND, BEFORE, BEHIND, LABEL, LABELS, LONGEST_LABEL, NAMES, OBJECT, SUBJECT, SUBJECT_PLACE

#: What models call an item; in a list of several again before each number.
_ITEM = r"(?:(?:knowledge )?(?:items?|docs?|documents?|refs?|knowledge|entry)(?: number)?(?:\s?:\s?|\s#?))"
_NUMBERS = rf"\d{{1,2}}(?:\s?(?:[,;–&-]|and|und|et|y|e|или|и)\s?{_ITEM}?\d{{1,2}})*"
#: In parentheses only a source is one, for a shop has items of its own.
_SOURCE = r"(?:sources?|quellen?|fuentes?|fontes?|fonti|fonte|источник|出典|来源|citations?|cite|references?)(?:\s?:\s?|\s)"
_WORD = rf"(?:{_SOURCE}{_ITEM}?|{_ITEM})"
#: [1], [ 1 ], [1, 2], [1-3], [^1], [item 1], [cite: 1], (Source 2), 【1】, 【1†source】, 【1:0†source】, the wide brackets of
#: Chinese and Japanese, and as a link that the model has made up: [1](https://…), [[1]](https://…).
_BRACKETS = (
    rf"(?:\[\[{_NUMBERS}\]\](?=\()|\[\^? ?(?:{_WORD})?{_NUMBERS}(?:†[^\]\n]{{0,60}}|\^)? ?\]"
    rf"|\({_SOURCE}{_ITEM}?{_NUMBERS}\)|［{_NUMBERS}］|〔{_NUMBERS}〕"
    rf"|\\\[{_NUMBERS}\\\]|<sup>{_NUMBERS}</sup>|<cite>{_NUMBERS}</cite>|<ref>{_NUMBERS}</ref>"
    rf"|【{_NUMBERS}(?::\d{{1,2}})?(?:†[^】\n]{{0,60}})?】)"
)
_MARK = rf"{_BRACKETS}(?:\(https?://[^)\s]{{0,500}}\))?"
_MARKS = re.compile(rf"{_MARK}(?:\s?,?\s?{_MARK})*", re.I)
#: What Gemini puts around the sentence that a [cite: 1] is behind.
_SENTENCE = re.compile(r"\[cite_start\] ?| ?\[cite_end\]", re.I)
#: What models put around marks, which goes with them.
_AROUND = (("(", ")"), ("[", "]"), ("***", "***"), ("**", "**"), ("*", "*"), ("_", "_"), ("<sup>", "</sup>"), ("^", "^"))
#: The same within a line: opened by a bracket, "(Source: [1])", "(see [1])"; or behind a sentence, to the line's end.
_OPENED = re.compile(
    rf"[*_]{{0,2}}(?P<bracket>[(\[])[*_]{{0,2}}(?:{NAMES}|see|siehe|vgl\.|cf\.|voir|ver|vedi|см\.)\s?[:：]?\s?\Z", re.I
)
_BEHIND = re.compile(rf"(?:(?<=[.!?…。])|\s[—–-])\s?[*_]{{0,2}}(?:{NAMES})[*_]{{0,2}}\s?[:：][*_]{{0,2}}\s?\Z", re.I)
#: Where a sentence's end may be followed by such a label.
_LAST_SENTENCE = re.compile(r"[.!?…。]\s?|\s[—–-]\s?")
#: Superscripts that are none of a citation: behind numbers and units, 25 m<sup>2</sup>.
_POWER = re.compile(r"(?:\d|(?<![^\W\d_])(?:[^\W\d_]{1,3}|inch|foot|feet|yards?|met(?:er|re)s?|fu(?:ß|ss)))\Z", re.I)
#: The end of a text that may become a mark, and how many characters of the end are looked at.
_UNFINISHED = re.compile(
    r"(?:[*_]{1,2}|<sup>|[(\[^\\])?"
    rf"(?:\[[^\]\n]{{0,70}}|\([^)\n]{{0,40}}|［[^］\n]{{0,24}}|〔[^〕\n]{{0,24}}|【[^】\n]{{0,70}}|{_BRACKETS}\([^)\s]*)\Z"
    r"|[*_]{1,2}[(\[]?\Z|[\^\\]\Z|<(?:s(?:up?)?|c(?:i(?:te?)?)?|r(?:ef?)?)?\Z"
    r"|<(?:sup|cite|ref)>[\d,;&–\s-]{0,12}(?:<(?:/[a-z]{0,4})?)?\Z",
    re.I,
)
_LOOKED_AT = 600
#: What is no number of an item in a mark: where in it, what of it.
_PLACE = re.compile(r":\d+(?=[†】])|†[^】\]]*")
_LINK = re.compile(r"\(https?://[^)\s]*\)")
_RANGE = re.compile(r"(\d+)\s*[–-]\s*(\d+)|(\d+)")
#: A line that begins with a number in brackets is an item of a list, with or without a bullet.
_LINE_START = re.compile(r"[\s>*•\-–]*(?:\d+[.)]\s*)?\Z")
#: Characters before a mark by which it is recognised in an item of knowledge, which may have numbers in brackets itself.
_CONTEXT = 12
#: Characters of an item's title that stands for its number.
LONGEST_TITLE = 100
#: Characters after a mark that decide whether it is one.
_DECIDING = 2


class Answer(NamedTuple):
    """A reply as a customer reads it, and the numbers of the items that it names."""

    text: str
    cited: frozenset[int]


def read(text: str, items: Sequence[Item]) -> Answer:
    """The text without its citations, and what they name: 1 is the first item."""
    readable, cited = _read(text, items)
    return Answer(readable or text, cited)


def _read(text: str, items: Sequence[Item]) -> Answer:
    """The same; empty, if the text is nothing but citations."""
    text, cited = _SENTENCE.sub("", text), set[int]()
    if "\n" in text and "[" in text:
        text, cited = source_lists.without(text, items)
    parts, end = list[str](), 0
    for start, stop, numbers, words in _citations(text, items):
        parts += [text[end:start], words]
        if not words and _is_word(text[stop : stop + 1]):
            parts.append(" ")
        end = stop
        cited |= numbers
    return Answer("".join([*parts, text[end:]]).strip(), frozenset(cited))


def visible(beginning: str, items: Sequence[Item]) -> str:
    """What may be shown of an answer of which only the beginning is known: a beginning of what `read` makes of the whole."""
    if beginning.lstrip().startswith(("{", "```json")):  # a tool call, of a provider that has no other way (shared/ai/tools.py)
        return ""
    end = _settled(source_lists.without_begun(beginning, items))
    return _read(beginning[:end], items).text if beginning[:end].strip() else ""


#: By how much a text that is streamed grows before it is read again: a word of one that fills a screen.
GROWTH = 1.02


class Reader:
    """Hands on what may be shown of an answer that is streamed, piece by piece (OnText in stream.py)."""

    def __init__(self, on_text: Callable[[str], None], items: Sequence[Item]) -> None:
        self._on_text, self._items = on_text, items
        self._text = self._shown = ""
        self._read_at = 0.0

    def __call__(self, piece: str) -> None:
        """Takes a piece; an empty one says that the answer starts over."""
        if not piece:
            self._text = self._shown = ""
            self._read_at = 0.0
            self._on_text("")
            return
        self._text += piece
        if len(self._text) < self._read_at:
            return  # the whole text is read each time, so a long one is read seldom
        self._read_at = len(self._text) * GROWTH
        shown = visible(self._text, self._items)
        if len(shown) > len(self._shown):
            self._on_text(shown[len(self._shown) :])
            self._shown = shown


def sources(items: Sequence[Item], cited: frozenset[int]) -> list[dict[str, str]]:
    """The links of the items that an answer names, each once."""
    named = dict[str, str]()
    for number, item in enumerate(items, start=1):
        if number in cited and item.url:
            named.setdefault(item.url, item.title)
    return [{"title": title, "url": url} for url, title in named.items()]


def _citations(text: str, items: Sequence[Item]) -> Iterator[tuple[int, int, set[int], str]]:
    """Where there are citations in a text, with the space before them, what they name, and the words that take their place.

    There are none but where the sentence would lose its meaning: "according to [1]" becomes "according to “Shipping”".
    """
    given, named_until = set(range(1, len(items) + 1)), -1
    for found in _MARKS.finditer(text):
        start, stop = found.span()
        numbers = _numbers(found[0]) & given
        if not numbers or _is_code(text, start) or _is_in_knowledge(text, start, stop, items):
            continue
        if not _is_subject(text, start, stop) and _is_text(text, start, stop):
            continue
        start, stop = _with_what_is_around(text, start, stop)
        joins = named_until >= 0 and AND.fullmatch(text, named_until, start) is not None
        if joins or OBJECT.search(text, max(0, start - BEFORE), start) or _is_subject(text, start, stop):
            named_until = stop
            yield start, stop, numbers, ", ".join(f"“{cut(items[n - 1].title, LONGEST_TITLE)}”" for n in sorted(numbers))
        else:
            yield _with_space(text, start, stop), stop, numbers, ""


def _is_subject(text: str, start: int, stop: int) -> bool:
    """Whether what stands there, where a sentence may begin, says, states or explains something."""
    return SUBJECT.match(text, stop) is not None and SUBJECT_PLACE.search(text, max(0, start - BEFORE), start) is not None


def _with_what_is_around(text: str, start: int, stop: int) -> tuple[int, int]:
    """The place of marks with their brackets, or with the label before them if the line has nothing else."""
    for opening, closing in _AROUND:
        if text.endswith(opening, 0, start) and text.startswith(closing, stop):
            start, stop = start - len(opening), stop + len(closing)
            break
    before, after = _line_around(text, start)
    is_last = not after[stop - start :].strip(" .*_")
    if is_last and _is_label(before):
        return start - len(before), start + len(after)
    opened = _OPENED.search(text, max(0, start - LONGEST_LABEL), start)
    if opened and text.startswith({"(": ")", "[": "]"}[opened["bracket"]], stop):
        emphasis = opened[0][: opened.start("bracket") - opened.start()]
        return opened.start(), stop + 1 + (len(emphasis) if text.startswith(emphasis, stop + 1) else 0)
    behind = _BEHIND.search(text, max(0, start - LONGEST_LABEL), start) if is_last else None
    return (behind.start(), start + len(after)) if behind else (start, stop)


def _numbers(marks: str) -> set[int]:
    numbers = set[int]()
    for first, last, one in _RANGE.findall(_PLACE.sub("", _LINK.sub("", marks))):
        numbers |= {int(one)} if one else set(range(int(first), int(last) + 1))
    return numbers


def _is_code(text: str, at: int) -> bool:
    if text.count("```", 0, at) % 2:
        return True
    before, after = _line_around(text, at)
    return before.count("`") % 2 == 1 and "`" in after


def _is_text(text: str, start: int, stop: int) -> bool:
    """Whether what stands around a number in brackets says that it is no citation."""
    (before, after), previous = _line_around(text, start), text[:start].rstrip()[-1:]
    after = after[stop - start :]
    following = after.lstrip()
    is_word = _is_word(text[start - 1 : start])
    if text.startswith("<sup>", start) and _POWER.search(text, max(0, start - 8), start):
        return True
    return (
        (bool(_LINE_START.match(before)) and following[:1].isalnum())  # an item of a list
        or following.startswith(("=", "€", "$", "£", "%"))
        or previous in {"€", "$", "£", "#", "№", "="}
        or (previous.isdigit() and following[:1].isdigit())  # a phone number
        or after.startswith(("(", "["))
        or (is_word and (_is_word(after[:1]) or (after[:1] == "." and _is_word(after[1:2]))))  # an index, a field
    )


def _is_word(character: str) -> bool:
    """Whether it is part of a word in an alphabet that puts spaces between words."""
    return character.isascii() and character.isalnum()


def _is_in_knowledge(text: str, start: int, stop: int, items: Sequence[Item]) -> bool:
    """Whether an item has the number in brackets itself, behind the same words."""
    before = text[max(0, start - _CONTEXT) : start]
    return len(before.strip()) > 2 and any(before + text[start:stop] in item.content for item in items)


def _line_around(text: str, at: int) -> tuple[str, str]:
    """The line before and after a place in it."""
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : at], text[at : len(text) if end < 0 else end]


def _with_space(text: str, start: int, stop: int) -> int:
    """Where a citation begins with the space before it; one that has a line for itself, with the line's break."""
    before, _ = _line_around(text, start)
    is_alone = not before.strip() and text[stop : stop + 1] in {"", "\n"}
    return len(text[:start].rstrip()) if is_alone else start - len(before) + len(before.rstrip())


def _settled(text: str) -> int:
    """Up to where a text is decided, whatever follows."""
    if unfinished := _UNFINISHED.search(text, max(0, len(text) - _LOOKED_AT)):
        text = text[: unfinished.start()]
    text = _without_label(text.rstrip())
    for found in _MARKS.finditer(text):
        is_open = len(text[found.end() : found.end() + _LOOKED_AT].lstrip()) < _deciding(text, found.start())
        before, after = _line_around(text, found.start())
        may_be_code = before.count("`") % 2 == 1 and "`" not in after and "\n" not in text[found.end() :]
        if is_open or may_be_code:
            return len(_without_label(text[: _begin_before(text, found.start())].rstrip()))
    return len(text)


def _is_label(line: str) -> bool:
    return len(line) <= LONGEST_LABEL and LABEL.match(line) is not None


def _begin_before(text: str, at: int) -> int:
    """Where what may go with a mark begins."""
    for label in (_OPENED, _BEHIND):
        if found := label.search(text, max(0, at - LONGEST_LABEL), at):
            return found.start()
    return at - next((len(opening) for opening, _ in _AROUND if text.endswith(opening, 0, at)), 0)


def _deciding(text: str, at: int) -> int:
    """How many characters behind a mark decide what it is."""
    if _OPENED.search(text, max(0, at - LONGEST_LABEL), at):
        return len(")**")
    if SUBJECT_PLACE.search(text, max(0, at - BEFORE), at):
        return BEHIND
    return next((max(_DECIDING, len(closing)) for opening, closing in _AROUND if text.endswith(opening, 0, at)), _DECIDING)


def _without_label(text: str) -> str:
    """The text without a last line that may be the label of marks that follow."""
    line, _ = _line_around(text, len(text))
    sentences = [found.end() for found in _LAST_SENTENCE.finditer(line)]
    for begin in (0, *sentences[-1:]):
        begun = line[begin:].strip("#*_>•- \t").lower()
        if begun and (_is_label(line[begin:]) or any(label.startswith(begun) for label in LABELS)):
            return text[: len(text) - len(line) + begin].rstrip(" \t\n—–-")
    return text.rstrip(" \t\n#*_—–-") if line.rstrip(" #*_—–-") != line else text
