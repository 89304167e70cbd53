"""What a chatbot knows: the items of its own knowledge base that fit a question, by full-text rank."""

from __future__ import annotations

from dataclasses import dataclass

#: Items that go into a prompt at most; fewer when fewer are relevant.
TOP = 5
#: An item that ranks below this share of the best one only shares a common word with the question.
RELEVANT_SHARE = 0.1
#: Characters of a question that are searched for: the beginning of a long one says what it is about.
MAX_QUESTION = 1_000

# The question's words are joined by "or": a visitor does not write search expressions. A part of the statement that
# loads what an AI job needs (workers/ai.py), where `k` is the base and `m` the message.
SEARCH = f"""
    with question as (
        select replace(plainto_tsquery(k.language::regconfig, left(m.content, {MAX_QUESTION}))::text, '&', '|')::tsquery as words
    ), found as (
        select i.id, i.title, i.content, ts_rank(i.vector, q.words) as rank
        from knowledge_item i, question q
        where i.knowledge_base_id = k.id and i.vector @@ q.words
        order by rank desc, i.id limit {TOP}
    )
    select jsonb_agg(jsonb_build_object('id', id, 'title', title, 'content', content) order by rank desc, id)
    from found where rank >= {RELEVANT_SHARE} * (select max(rank) from found)
"""


@dataclass(frozen=True)
class Item:
    """One piece of knowledge."""

    id: int
    title: str
    content: str
