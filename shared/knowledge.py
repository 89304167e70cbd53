"""What a chatbot knows: the items of its own knowledge base that fit a question, by full-text rank."""

from __future__ import annotations

from dataclasses import dataclass

from shared import db

#: Items that go into a prompt at most; fewer when fewer are relevant.
TOP = 5
#: An item that ranks below this share of the best one only shares a common word with the question.
RELEVANT_SHARE = 0.1
#: Characters of a question that are searched for: the beginning of a long one says what it is about.
MAX_QUESTION = 1_000

# The question's words are joined by "or": a visitor does not write search expressions.
_SEARCH = """
    with question as (
        select replace(plainto_tsquery(%(language)s::regconfig, %(question)s)::text, '&', '|')::tsquery as words
    ), found as (
        select i.id, i.title, i.content, ts_rank(i.vector, q.words) as rank
        from knowledge_item i, question q
        where i.knowledge_base_id = %(base)s and i.vector @@ q.words
        order by rank desc, i.id limit %(top)s
    )
    select id, title, content from found where rank >= %(share)s * (select max(rank) from found) order by rank desc, id
"""


@dataclass(frozen=True)
class Item:
    """One piece of knowledge."""

    id: int
    title: str
    content: str


def search(base_id: int, language: str, question: str) -> list[Item]:
    """The best items of one base, best first; none when nothing is relevant."""
    params = {
        "base": base_id,
        "language": language,
        "question": question[:MAX_QUESTION],
        "top": TOP,
        "share": RELEVANT_SHARE,
    }
    return [Item(**found) for found in db.rows(_SEARCH, params)]
