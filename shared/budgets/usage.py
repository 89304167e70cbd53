"""What a customer used, day by day (UTC): days that are over are counted once, and pages that show months read few rows."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from shared import db
from shared.db import sql

queries = sql.load(__file__)

#: Days that a transaction counts, customers that are looked up at once, seconds after which the rest waits for the next minute.
DAYS, CUSTOMERS, SECONDS = 31, 100, 20.0


def of_days(customer_id: int, first: date, days: int) -> list[dict[str, Any]]:
    """So many days from the first on: a row for each day, kind, chatbot and model; `entries` are rows of usage_log."""
    return queries["of_days"].rows(customer_id=customer_id, first=first, days=days)


def count_days() -> int:
    """Counts days that are over; returns how many."""
    counted, until = 0, time.monotonic() + SECONDS
    with db.patient(db.REPORT):
        while customers := queries["to_count"].rows(limit=CUSTOMERS):
            for customer in customers:
                if time.monotonic() > until:
                    return counted
                counted += int(queries["count_days"].scalar(customer_id=customer["id"], days=DAYS))
    return counted
