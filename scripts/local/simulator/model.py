"""The simulated model: answers with the knowledge of its prompt, and calls the tools that it is offered as one that obeys.

It hands over whoever asks for a person. It never invents: a question that its knowledge does not fit is searched for again, if it
may, and then it does not know. It cites the item that it used, where the prompt asks for that.
"""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

_ITEM = re.compile(r'<item\b[^>]* title="([^"]*)"[^>]*>(.*?)</item>', re.S)
#: What eyes.py says of a picture.
_SEEN = re.compile(r"\[(I see [^\]]+)\]")
_WORD = re.compile(r"\w{3,}")
_STOP_WORDS = (
    "the and for are you your our with can how what when does have from this that about und der die das ist wie was "
    "wann ich ihr sie mit ein eine haben kann gibt there will hello please thanks"
)
_STOP = frozenset(_STOP_WORDS.split())
_PERSON = re.compile(r"\b(a|real|another) (person|human)\b|speak to (some|any)(one|body)|\b(menschen|mitarbeiter)\b", re.I)


class Answer(NamedTuple):
    """What the model says, or the tool that it calls: its name and its arguments."""

    text: str
    tool: tuple[str, dict[str, str]] | None = None

    def message(self, identity: str) -> dict[str, Any]:
        """As OpenAI's API says it."""
        if self.tool is None:
            return {"role": "assistant", "content": self.text}
        name, arguments = self.tool
        call = {"id": f"call_{identity}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}


def question_in(messages: Sequence[dict[str, str]]) -> list[str]:
    """The user's messages since the last reply, newest first."""
    newest = itertools.takewhile(lambda turn: turn["role"] == "user", reversed(messages))
    return [turn["content"].rpartition("</knowledge>")[2] for turn in newest]


def answer(messages: Sequence[dict[str, str]], offered: Collection[str]) -> Answer:
    """The answer to a conversation; `offered` are the names of the tools."""
    system = " ".join(turn["content"] for turn in messages if turn["role"] == "system" or "<item" in turn["content"])
    question = " ".join(reversed(question_in(messages)))
    if seen := _SEEN.findall(question):
        return Answer(" ".join(seen))
    if "hand_over" in offered and _PERSON.search(question):
        return Answer("", ("hand_over", {"reason": "asked_for_human"}))
    wanted = words(question)
    items = [(html.unescape(title), html.unescape(content).strip()) for title, content in _ITEM.findall(system)]
    common = _common(wanted, items)
    if len(wanted) == 1 and not any(common):  # "and abroad?" goes on with what was asked before
        question = " ".join([turn["content"] for turn in messages if turn["role"] == "user"][-2:])
        wanted = words(question)
        common = _common(wanted, items)
    if any(common):
        best = common.index(max(common))
        cited = f" [{best + 1}]" if "in brackets, such as [1]" in system else ""
        return Answer(f"Thanks for asking! {items[best][1]}{cited}")
    if wanted and "?" in question:
        if "search_knowledge" in offered:
            return Answer("", ("search_knowledge", {"query": question}))
        if "no_answer" in offered:
            return Answer("", ("no_answer", {"reason": "no_knowledge"}))
    return Answer("Thank you for your message! I am not sure about that; a colleague will get back to you.")


def _common(wanted: set[str], items: Sequence[tuple[str, str]]) -> list[int]:
    """How many of the words each item has."""
    return [len(wanted & words(f"{title} {content}")) for title, content in items]


def words(text: str) -> set[str]:
    """Words by their first five letters, so that 'ship', 'ships' and 'shipping' meet."""
    return {word[:5] for word in _WORD.findall(text.lower()) if word not in _STOP}
