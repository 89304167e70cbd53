"""Items whose titles are customers' own words: the question that was answered, as it was asked.

An item is the business's, and stays when the person is forgotten; the words go. Its title is then the question of somebody else
who asked the same, or else the beginning of its answer. Whoever writes another title makes it the business's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared import db
from shared.db import sql
from shared.models import KnowledgeItem, Message

queries = sql.load(__file__)

#: Characters of an answer's beginning that are its item's title.
BEGINNING = 80


def asked_in(title: str, questions: Iterable[Mapping[str, Any]]) -> int | None:
    """In which conversation the question that the title repeats was asked. `questions`: {question, message_id}; None: none of
    them is in the title."""
    same = [one["message_id"] for one in questions if _repeats(title, one["question"])]
    return db.scalar(Message.select(Message.conversation).where(Message.id == same[-1])) if same else None


def forget(conversation_ids: Sequence[int]) -> None:
    """These conversations go: their questions are no titles any more. Call it before they do, in their transaction."""
    for item in queries["asked"].rows(conversation_ids=list(conversation_ids)):
        title = item["other_question"] or beginning(item["content"])
        changes = {"title": title, "asked_in": item["other_conversation"]}
        db.rows(KnowledgeItem.update(**changes).where(KnowledgeItem.id == item["id"]))


def beginning(content: str) -> str:
    """The first line of an answer, cut behind a word."""
    line = " ".join(content.strip().partition("\n")[0].split())
    if len(line) <= BEGINNING:
        return line
    cut = line[: BEGINNING - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"


def _repeats(title: str, question: str) -> bool:
    """Whether most words of the title are the question's: corrected, or cut, it is still what the customer wrote."""
    asked, words = set(_words(question)), _words(title)
    return bool(words) and 2 * sum(word in asked for word in words) > len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
