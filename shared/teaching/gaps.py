"""Questions that a bot had no good answer to, similar ones grouped: what a business should teach next.

The stage ai-processing adds them (workers/ai.sql); they are grouped when they are read, by the stems of their words. A group is
named by any of its questions, for others may join it or be forgotten at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import SQL, Expression

from shared import db
from shared.db import sql
from shared.db.pruning import delete_in_batches
from shared.models import KnowledgeBase, KnowledgeGap
from shared.teaching import askers, fields, knowledge
from shared.teaching.knowledge import MAX_TITLE, ItemSchema

#: Open questions of a base that are looked at, newest first; workers/ai.sql keeps no more of them.
KEPT = 2_000
#: Seconds for which a question is kept: 90 days, a season of questions.
KEPT_SECONDS = 90 * 86_400.0
#: Of the words of two like questions, the share that they have in common (Dice's coefficient).
ALIKE = 0.5
#: Questions of a group that are shown, as they were asked.
EXAMPLES = 3

queries = sql.load(__file__)

_COLUMNS = (
    KnowledgeGap.id,
    KnowledgeGap.message,
    KnowledgeGap.question,
    KnowledgeGap.language,
    KnowledgeGap.words,
    KnowledgeGap.reason,
    KnowledgeGap.created_at,
)


class AnswerSchema(ItemSchema):
    """An item that answers a group of questions."""

    title = fields.text(
        MAX_TITLE, allow_none=True, load_default=None, metadata={"description": "Null: the question, as it was asked last."}
    )


@dataclass
class Group:
    """Like questions, oldest first; the first one's words say what belongs to them."""

    rows: list[Mapping[str, Any]]

    def ids(self) -> list[int]:
        """Its questions."""
        return [row["id"] for row in self.rows]

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        newest = self.rows[-1]
        _, *others = dict.fromkeys(row["question"] for row in reversed(self.rows))
        return {
            "id": self.rows[0]["id"],
            "question": newest["question"],
            "count": len(self.rows),
            "last_asked_at": newest["created_at"],
            "examples": others[:EXAMPLES],
            "reason": newest["reason"],
            "language": newest["language"],
        }


def grouped(rows: Iterable[Mapping[str, Any]]) -> list[Group]:
    """Questions, oldest first, as groups: those that were asked most come first, then those that were asked last."""
    groups: list[Group] = []
    by_word: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        words = [(row["language"], word) for word in row["words"]] or [("", row["question"].casefold())]
        common = Counter(number for word in words for number in by_word.get(word, ()))
        likeness = {number: 2 * count / (len(words) + _size(groups[number])) for number, count in common.items()}
        best = max(likeness, key=lambda number: (likeness[number], -number), default=None)
        if best is not None and likeness[best] >= ALIKE:
            groups[best].rows.append(row)
            continue
        for word in words:
            by_word.setdefault(word, []).append(len(groups))
        groups.append(Group([row]))
    return sorted(groups, key=lambda group: (-len(group.rows), -group.rows[-1]["id"]))


def _size(group: Group) -> int:
    return len(group.rows[0]["words"]) or 1


def of_base(customer_id: int, base_id: int) -> list[Group]:
    """The open groups of a customer's base."""
    asked = KnowledgeGap.select(*_COLUMNS).where(_is_open(customer_id, base_id))
    return grouped(reversed(db.rows(asked.order_by(KnowledgeGap.id.desc()).limit(KEPT))))


def answer(customer_id: int, base_id: int, gap_id: int, item: dict[str, Any]) -> dict[str, Any] | None:
    """Makes an item that answers a group, and closes the group. The item; None if there is no such open group."""
    with db.transaction():
        group = _group_of(customer_id, base_id, gap_id)
        if group is None:
            return None
        title = item["title"] or group.rows[-1]["question"][:MAX_TITLE]
        whose = askers.asked_in(title, group.rows)
        created = knowledge.create_item(customer_id, base_id, {**item, "title": title, "asked_in": whose})
        if created is not None:
            _close(group, created["id"])
        return created


def dismiss(customer_id: int, base_id: int, gap_id: int) -> bool:
    """Closes a group without an answer; False if there is no such open group."""
    with db.transaction():
        group = _group_of(customer_id, base_id, gap_id)
        if group is not None:
            _close(group, None)
        return group is not None


def prune() -> dict[str, int]:
    """Forgets questions that are too old."""
    return {"gaps": delete_in_batches(queries["prune_gaps"], age=KEPT_SECONDS)}


def _group_of(customer_id: int, base_id: int, gap_id: int) -> Group | None:
    """The open group that this question is in. Locks the question, so that it is not answered twice at the same time."""
    is_it = _is_open(customer_id, base_id) & (KnowledgeGap.id == gap_id)
    db.rows(KnowledgeGap.select(KnowledgeGap.id).where(is_it).for_update())
    return next((group for group in of_base(customer_id, base_id) if gap_id in group.ids()), None)


def _is_open(customer_id: int, base_id: int) -> Expression:
    own = KnowledgeBase.select(KnowledgeBase.id).where(knowledge.is_own_base(customer_id, base_id))
    is_open: Expression = KnowledgeGap.closed_at.is_null() & KnowledgeGap.knowledge_base.in_(own)
    return is_open


def _close(group: Group, item_id: int | None) -> None:
    closed = KnowledgeGap.update(closed_at=SQL("clock_timestamp()"), knowledge_item=item_id)
    db.rows(closed.where(KnowledgeGap.id.in_(group.ids())))
