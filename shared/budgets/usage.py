"""What a customer used, day by day (UTC): days that are over are counted once, and pages that show months read few rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any, NamedTuple

from shared import db
from shared.db import sql
from shared.jobs.independent import run_each

queries = sql.load(__file__)

#: Days that a transaction counts, customers that are looked up at once, seconds after which the rest waits for the next minute.
DAYS, CUSTOMERS, SECONDS = 31, 100, 20.0


class Usage(NamedTuple):
    """What was used in some days, added up in three ways.

    Each row has quantity, prompt_tokens, completion_tokens, answers (how many a model gave) and cost (None: no price is known).
    """

    #: By `day` and `kind`, in their order.
    days: list[dict[str, Any]]
    #: By `chatbot_id`, None for one that is gone, and by `model`: only what a model did, the most tokens first.
    chatbots: list[dict[str, Any]]
    models: list[dict[str, Any]]


def of_days(customer_id: int, first: date, days: int) -> Usage:
    """So many days from the first on."""
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in Usage._fields}
    for row in queries["sums"].rows(customer_id=customer_id, first=first, days=days):
        groups[row.pop("grouped")].append(row)
    return Usage(**groups)


def count_days() -> int:
    """Counts days that are over; returns how many. Raises, when all others are counted, what failed for a customer."""
    until = time.monotonic() + SECONDS
    with db.patient(db.REPORT):
        return sum(run_each(partial(_count_days_of, customer_id, until) for customer_id in _to_count(until)))


def _to_count(until: float) -> Iterator[int]:
    """Each customer once, in no order: who waits behind one that takes too long is another one the next minute."""
    tried: list[int] = []
    while time.monotonic() < until and (customers := queries["to_count"].rows(limit=CUSTOMERS, tried=tried)):
        for customer in customers:
            tried.append(customer["id"])
            yield customer["id"]


def _count_days_of(customer_id: int, until: float) -> int:
    counted = 0
    while time.monotonic() < until and (days := int(queries["count_days"].scalar(customer_id=customer_id, days=DAYS))):
        counted += days
    return counted
