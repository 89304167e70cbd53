"""How the whole system is doing: queues, the last day, workers, and whose jobs they have."""

from __future__ import annotations

from typing import Any

from shared import db
from shared.db import sql
from shared.queues import Queue

queries = sql.load(__file__)

#: Bars of the chart of a day, a quarter of an hour each.
BARS = 96
#: Customers whose open jobs are most.
TENANTS = 10


def queue_depths() -> list[dict[str, Any]]:
    """Each queue in the stages' order: jobs that may run, run, wait for their time, turn or somebody; the ages of the oldest."""
    rows = {row["queue"]: row for row in queries["queue_depths"].rows()}
    empty = {"ready": 0, "active": 0, "delayed": 0, "held": 0, "parked": 0, "oldest": None, "oldest_held": None}
    return [rows.get(queue.value, {"queue": queue.value, **empty}) for queue in Queue]


def tenants() -> list[dict[str, Any]]:
    """The customers with the most open jobs."""
    return queries["tenants"].rows(limit=TENANTS)


def throughput(queue: str | None = None) -> list[dict[str, Any]]:
    """The last day in quarters of an hour, the oldest first: completed and failed jobs, mean and longest wait in seconds."""
    return queries["throughput"].rows(bars=BARS, queue=queue)


def count_minutes() -> int:
    """Keeps what each queue did in each minute since the last time, up to the last that is over; forgets old ones."""
    with db.transaction():
        queries["lock_minutes"].rows()
        queries["forget_minutes"].rows()
        return len(queries["count_minutes"].rows())
