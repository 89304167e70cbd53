"""The commands of scripts/knowledge about questions that a chatbot had no answer to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table
from shared import db
from shared.errors import Refused
from shared.models import KnowledgeBase, KnowledgeGap
from shared.payloads import check
from shared.teaching import gaps

#: Groups of one list, and characters of their questions in it.
LISTED, SHOWN = 100, 100

BaseOf = Callable[[argparse.Namespace], dict[str, Any]]


def add_commands(commands: Any, which: argparse.ArgumentParser, base_of: BaseOf) -> None:
    """Adds them to scripts/knowledge."""
    listed = commands.add_parser("gaps", parents=[which], help="questions that the chatbot had no answer to, most asked first")
    listed.add_argument("--limit", type=count, default=LISTED, help=f"at most so many (default {LISTED})")
    listed.set_defaults(run=lambda arguments: _list(base_of(arguments), arguments.limit))
    answered = commands.add_parser("answer", help="a new item that answers a question, and those like it")
    _add_gap(answered)
    answered.add_argument("text", nargs="?", help="the answer; without it, it is read from standard input")
    answered.add_argument("--title", help="the item's title (default: the question)")
    answered.set_defaults(run=_answer)
    dismissed = commands.add_parser("dismiss", help="forgets a question, and those like it")
    _add_gap(dismissed)
    dismissed.set_defaults(run=_dismiss)


def _add_gap(command: argparse.ArgumentParser) -> None:
    command.add_argument("gap", type=count, help="its number, as scripts/knowledge gaps shows it")


def _list(base: dict[str, Any], limit: int) -> int:
    groups = [group.as_dict() for group in gaps.of_base(base["customer_id"], base["id"])]
    if not groups:
        print("No question is open: the chatbot had an answer to each, or was asked none.")
        return 0
    shown = ((one["id"], one["count"], one["last_asked_at"], one["reason"], one["question"][:SHOWN]) for one in groups[:limit])
    print_table(("id", "asked", "last", "reason", "question"), shown)
    if len(groups) > limit:
        print(f"These are the most asked {limit} of {len(groups)}; --limit {len(groups)} shows all.")
    return 0


def _answer(arguments: argparse.Namespace) -> int:
    customer_id, base_id = _whose(arguments.gap)
    content = sys.stdin.read().strip() if arguments.text is None else arguments.text
    given = check(gaps.AnswerSchema, "item", {"title": arguments.title, "content": content})
    with db.transaction():
        item = gaps.answer(customer_id, base_id, arguments.gap, given)
        if item is None:
            raise _no_such(arguments.gap)
        audited("knowledge", "knowledge.gap_answered", "knowledge item", item["id"], customer_id)
    print(f"item {item['id']} answers it in knowledge base {base_id} ({item['language']}): {item['title'][:SHOWN]}")
    return 0


def _dismiss(arguments: argparse.Namespace) -> int:
    customer_id, base_id = _whose(arguments.gap)
    with db.transaction():
        if not gaps.dismiss(customer_id, base_id, arguments.gap):
            raise _no_such(arguments.gap)
        audited("knowledge", "knowledge.gap_dismissed", "knowledge gap", arguments.gap, customer_id)
    print(f"question {arguments.gap} is dismissed, with those like it")
    return 0


def _whose(gap_id: int) -> tuple[int, int]:
    """The customer and the base of a question. Raises Refused."""
    bases = KnowledgeGap.select(KnowledgeBase.customer, KnowledgeBase.id).join(KnowledgeBase)
    row = db.row(bases.where(KnowledgeGap.id == gap_id))
    if row is None:
        raise _no_such(gap_id)
    return row["customer_id"], row["id"]


def _no_such(gap_id: int) -> Refused:
    return Refused(f"there is no open question {gap_id}; scripts/knowledge gaps lists them")
