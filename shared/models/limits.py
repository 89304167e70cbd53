"""How many of each kind a business may have: a program that makes them in a loop fills no table.

What is there already stays. web/README.md has the list, for those who meet it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import ModelSelect

from shared import db
from shared.errors import Refused


class Limit(NamedTuple):
    """So many, and what is said of one more; the desk says it in other languages."""

    most: int
    text: str


#: Of a chatbot with conversations nothing can be deleted; its business may still teach it anew.
CHATBOTS = Limit(100, "A business has at most %(most)s chatbots. Delete one without conversations, or teach one anew.")
BASES = Limit(200, "A business has at most %(most)s knowledge bases. Delete one that you no longer need.")
#: Beside those that imports bring, which have limits of their own (shared/knowledge/documents.py).
ITEMS = Limit(50_000, "A knowledge base has at most %(most)s items written by hand. Delete those that you no longer need.")
SOURCES = Limit(500, "A knowledge base has at most %(most)s imports. Delete one that you no longer need.")
#: Each message is told to all of them, so they multiply its events.
ENDPOINTS = Limit(20, "A business has at most %(most)s webhooks. Delete one that you no longer need.")
#: Each conversation that is open at the desk has them all.
QUICK_REPLIES = Limit(500, "A business has at most %(most)s quick replies. Delete one that you no longer need.")
#: Who has left is a row for ever, for the audit names them.
PEOPLE = Limit(500, "A business has at most %(most)s people, with those who have no access. Give one of them the access back.")
KEYS = Limit(100, "A business has at most %(most)s API keys that work. Revoke one that you no longer need.")


class TooMany(Refused):
    """There are as many as a business may have."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.text, most=f"{limit.most:,}")


def check(limit: Limit, customer_id: int, rows: ModelSelect[Any]) -> None:
    """Raises TooMany if there are as many rows as there may be. In the transaction that adds one: two at once take turns."""
    # Events and messages, which only refer to the customer, do not wait.
    db.rows("select from customer where id = %s for no key update", [customer_id])
    if db.row(rows.offset(limit.most - 1).limit(1)) is not None:
        raise TooMany(limit)
