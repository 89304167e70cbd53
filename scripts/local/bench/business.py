"""Fills a database with a year of many businesses, as the pipeline and people leave it, to measure the desk's pages on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared import db
from shared.budgets import usage
from shared.db import sql

queries = sql.load(__file__)

CUSTOMERS, CHATBOTS = 20, 5
#: Conversations at the most; the fewest messages that one has on average; messages of a session.
CONVERSATIONS, PER_CONVERSATION, PER_SESSION = 100_000, 20, 10
#: Messages that a transaction writes.
BATCH = 500_000
#: How much there is of the rest beside FULL messages; less beside fewer.
FULL = 5_000_000
ITEMS, EVENTS, LETTERS, ENTRIES, GAPS, JOBS = 3_000, 300_000, 50_000, 200_000, 6_000, 500_000
#: Seconds that a statement may take.
PATIENCE = 1_800

_SETTINGS = (
    "session_replication_role = replica",
    "enable_seqscan = on",
    "enable_hashjoin = on",
    "enable_mergejoin = on",
    "work_mem = '256MB'",
)

Say = Callable[[str], None]


def add_customers() -> int:
    """Customers and their chatbots; returns the id of the one that has half of everything."""
    _run("customers", customers=CUSTOMERS, chatbots=CHATBOTS)
    return int(db.scalar("select min(id) from customer"))


def fill(messages: int, customer_id: int, user_id: int, say: Say) -> None:
    """Adds about this many messages and all that belongs to them; `user_id`, of this customer, has some of its conversations."""
    conversations, sessions = min(CONVERSATIONS, messages // PER_CONVERSATION), messages // PER_SESSION
    with db.patient(PATIENCE):
        _run("phrases")  # a temporary table, so that all of this is one connection's
        _run("conversations", conversations=conversations)
        _run("contacts")
        _run("identities")
        db.rows("analyze phrase, conversation")
        indexes = _drop_indexes("message", "usage_log")
        step = BATCH // PER_SESSION
        for first in range(1, sessions + 1, step):
            last = min(first + step - 1, sessions)
            _run("messages", sessions=sessions, conversations=conversations, first=first, last=last)
            _run("usage", first=(first - 1) * PER_SESSION + 1, last=last * PER_SESSION)
            say(f"  {last * PER_SESSION:,} messages")
        for definition in indexes:
            db.rows(definition)
        _run("activity")
        _add_the_rest(min(1.0, messages / FULL), customer_id, user_id)
        _run("sequences")
        db.rows("vacuum analyze")
        db.rows("checkpoint")
    while usage.count_days():  # as maintenance does, each minute
        pass
    db.rows("analyze usage_day")


def _add_the_rest(share: float, customer_id: int, user_id: int) -> None:
    db.rows("analyze message, conversation, knowledge_base")
    with db.transaction():
        queries["knowledge"].rows(items=int(ITEMS * share))  # with its triggers: they write the words that are searched
    _run("sources")
    _run("gaps", gaps=int(GAPS * share))
    _run("endpoints")
    _run("events", events=int(EVENTS * share))
    _run("attempts")
    _run("dead_letters", letters=int(LETTERS * share))
    _run("replays", letters=int(LETTERS * share))
    _run("audit", entries=int(ENTRIES * share))
    _run("notes", user_id=user_id)
    _run("assigned", user_id=user_id, customer_id=customer_id)
    _run("quick_replies")
    _run("jobs", jobs=int(JOBS * share))
    _run("queue_minutes")


def _drop_indexes(*tables: str) -> list[str]:
    """Those that are no constraints; returns what makes them again. Made at the end they take a third of the time."""
    indexes = queries["indexes"].rows(tables=list(tables))
    for index in indexes:
        db.rows(f"drop index {index['name']}")
    return [index["definition"] for index in indexes]


def _run(name: str, **values: Any) -> None:
    """Without triggers and foreign keys, which hold by construction; with plans for many rows: the pipeline's are for few."""
    with db.transaction():
        for setting in _SETTINGS:
            db.rows(f"set local {setting}")
        queries[name].rows(**values)
