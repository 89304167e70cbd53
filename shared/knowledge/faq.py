"""Questions and answers on a page: what opens at a click, and what the page tells search engines (schema.org's FAQPage).

trafilatura drops buttons, and with them the questions of most accordions; and it does not read JSON-LD, in which many a page that
JavaScript draws has all of its answers.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: What questions and answers are on many pages, and what trafilatura understands. It loses the first line of an address.
_STANDS_FOR = {"summary": "h3", "details": "div", "dt": "h3", "dd": "p", "dl": "div", "address": "p"}
#: Classes of what opens an answer, as the usual libraries and themes name them.
_OPENER = re.compile(
    r"(faq|accordion|collaps\w*|toggle)[\w-]*(question|title|head\w*|toggle|trigger|button|summary)\b"
    r"|(?:^|\s)question([_-](title|text))?(?:\s|$)|\bfaq[_-]q\b",
    re.I,
)
#: What is no question, however it is marked; and characters of one.
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LONGEST = 300
_ASKS = ("?", "？", "؟")
#: Objects of JSON-LD that are looked through: a page has some dozens.
_MOST, _DEEPEST = 5_000, 8


#: A question and its answer in running text, each with a word or letter before it: "Q: …", "A: …".
_ASKED = re.compile(
    r"^[ \t]*\**(?:Q|Question|Frage|F|Pregunta|P|Domanda|D|Vraag|V)[ \t]?\d{0,3}[.:)]\**[ \t]*([^\n]{3,200}?)\**[ \t]*\n\s*"
    r"\**(?:A|Answer|Antwort|R|Respuesta|Réponse|Risposta|Antwoord)[ \t]?\d{0,3}[.:)]\**[ \t]*(?=\S)",
    re.M | re.I,
)


def with_headings(text: str) -> str:
    """A text with its questions as headings."""
    return _ASKED.sub(r"\n###### \1\n\n", text) if len(_ASKED.findall(text)) > 1 else text


#: A line between the questions of a plain text, and the number or the bullet before one.
_RULE, _NUMBER = re.compile(r"\s*([-=*_~+•·] ?){3,}\s*"), re.compile(r"\s*(?:\d{1,3}[.)]|[-*•])\s+")


def with_asking_lines(text: str) -> str:
    """A plain text with its questions as headings: lines that ask, each with a line of another kind below."""
    if with_headings(text) is not text:  # each has a "Q:" before it
        return text
    lines = text.splitlines()
    asking = [place for place in range(len(lines)) if _is_asking(lines, place)]
    if len(asking) < 2:
        return text
    for place in asking:
        lines[place] = f"\n###### {_NUMBER.sub('', lines[place]).strip()}\n"
        above = next((one for one in range(place - 1, -1, -1) if lines[one].strip()), 0)
        if above > 1 and _RULE.fullmatch(lines[above]) and not _is_title(lines[above - 1], lines[above - 2]):
            lines[above] = ""
    return "\n".join(lines)


def _is_title(line: str, above: str) -> bool:
    """Whether a line above a rule is a heading that the rule underlines. An answer's last line is none."""
    return not above.strip() and line.strip()[-1:] not in (*".!…,;", "")


def _is_asking(lines: list[str], place: int) -> bool:
    line, above = lines[place].strip(), lines[place - 1] if place else ""
    below = next((one for one in lines[place + 1 : place + 4] if one.strip()), "?").strip()
    is_apart = not above.strip() or bool(_RULE.fullmatch(above))
    return (
        is_apart and line.endswith(_ASKS) and len(line) <= _LONGEST and not below.endswith(_ASKS) and not _RULE.fullmatch(below)
    )


def mark_questions(tree: Any) -> None:
    """Makes headings of the questions in a page, and paragraphs of bare answers; nothing of both is hidden any more."""
    for element in [one for one in tree.iter() if isinstance(one.tag, str)]:
        if element.tag in _STANDS_FOR:
            element.tag = _STANDS_FOR[element.tag]
        elif element.get("itemprop") == "name" and _is_question(element.getparent()):
            _make_heading(element)
        elif _opens_an_answer(element):
            _show(
                tree,
                element.get("aria-controls") or (element.get("data-bs-target") or element.get("data-target") or "").lstrip("#"),
            )
            _make_heading(element)
        elif element.get("itemprop") != "articleBody":
            element.attrib.pop("itemprop", None)  # by which trafilatura may take it for all of the page
        if element.tag == "div" and (element.text or "").strip() and not len(element):
            element.tag = "p"


def _show(tree: Any, name: str) -> None:
    """An answer that is hidden until somebody clicks."""
    for answer in tree.xpath("//*[@id=$name]", name=name) if name else []:
        for attribute in ("hidden", "style", "class", "aria-hidden"):
            answer.attrib.pop(attribute, None)


def _is_question(element: Any) -> bool:
    return element is not None and "schema.org/Question" in (element.get("itemtype") or "")


def _opens_an_answer(element: Any) -> bool:
    if element.tag not in ("button", "a", "div", "span", "p", "li"):
        return False
    is_marked = element.get("aria-expanded") is not None or bool(_OPENER.search(element.get("class") or ""))
    if not is_marked and not (element.tag == "button" and _heading_above(element) is not None):
        return False
    text = " ".join("".join(element.itertext()).split())
    return 0 < len(text) <= _LONGEST and not any(
        inner.tag in (*_HEADINGS, "p", "ul", "button") for inner in element.iterdescendants()
    )


def _make_heading(element: Any) -> None:
    heading = _heading_above(element)
    for one in (element, element.getparent() if heading is None else heading):
        one.attrib.pop("class", None)  # by which trafilatura may take it for a menu
    element.tag = "h3" if heading is None else "span"
    for inner in element.iterdescendants():
        if inner.tag in ("button", "a", "div"):
            inner.tag = "span"


def _heading_above(element: Any) -> Any:
    return next((above for above in element.iterancestors() if above.tag in _HEADINGS), None)


def answers_to_search_engines(tree: Any) -> list[tuple[str, str]]:
    """The questions and answers in a page's JSON-LD, as text."""
    found: dict[str, str] = {}
    for one in objects_of(tree):
        question, answer = _question_in(one)
        if question and answer:
            found.setdefault(question, answer)
    return list(found.items())


def objects_of(tree: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in a page's JSON-LD."""
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or ""):
            yield from _objects(_loaded(script.text or ""))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in JSON-LD, in their order."""
    waiting = [(value, 0)]  # the next one is the last
    for _ in range(_MOST):
        if not waiting:
            return
        one, depth = waiting.pop()
        if isinstance(one, Mapping):
            yield one
        inner = list(one.values()) if isinstance(one, Mapping) else one if isinstance(one, list) else []
        waiting += [(each, depth + 1) for each in reversed(inner[:_MOST]) if depth < _DEEPEST]


def _question_in(one: Mapping[str, Any]) -> tuple[str, str]:
    kinds = one.get("@type")
    if "Question" not in (kinds if isinstance(kinds, str | list) else ""):
        return "", ""
    answer = one.get("acceptedAnswer") or one.get("suggestedAnswer")
    answer = answer[0] if isinstance(answer, list) and answer else answer
    words = answer.get("text") if isinstance(answer, Mapping) else answer
    return text_of_html(one.get("name") or one.get("text")), text_of_html(words)


_BREAKS = re.compile(r"<(?:br|/p|/div|/li|/h[1-6]|/tr|/ul|/ol)\b[^<>]*>", re.I)
_ITEM = re.compile(r"<li\b[^<>]*>", re.I)
_STRUCK = re.compile(r"</?(?:del|s|strike)\b[^<>]*>", re.I)
_ESCAPED = re.compile(r"\s*&lt;[a-z][^<>]*&lt;/[a-z]\w*&gt;\s*", re.I)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.I)


def has_html(text: str) -> bool:
    """Whether a text from a table or from JSON is one of HTML."""
    return bool(
        _ESCAPED.fullmatch(text)
        or re.search(r"</(?:p|div|b|strong|em|i|a|ul|ol|li|span|del|s|strike|h[1-6])>|<br ?/?>", text, re.I)
    )


def text_of_html(value: Any) -> str:
    """The text in a piece of HTML; in one that somebody has escaped as a whole, too."""
    if not isinstance(value, str):
        return ""
    value = html.unescape(value) if _ESCAPED.fullmatch(value) else value
    marked = _STRUCK.sub("~~", _ITEM.sub("\n- ", _BREAKS.sub("\n", value)))
    text = html.unescape(_TAG.sub("", marked))
    text = text.replace("~~~~", "")  # of two that stand beside each other, or of one without words
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
