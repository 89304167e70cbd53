"""The end of a stage's work: results, the job's end and the next jobs committed together, then handed to Redis."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import peewee

from shared.broker.connection import Delivery
from shared.broker.enqueue import companions, current_delivery, enqueue, finish_companion, tickets_of
from shared.db import sql
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import LeaseLost, ServiceDown
from shared.jobs.ledger import Job, insist, queries
from shared.queues import Queue
from shared.telemetry import metrics
from shared.telemetry.logs import log_context
from shared.telemetry.timings import Timings

log = logging.getLogger(__name__)

#: SQLSTATE that schema.sql raises when a claim is not the job's last.
LEASE_LOST = "SB001"


class _Item(NamedTuple):
    """A job's values for the statement, and the delivery that brought the job here."""

    values: Mapping[str, Any]
    delivery: Delivery | None


#: What the statement says of a job whose results were written; None of others.
_Completed = dict[str, Any] | None


class CompletionStatement:
    """A stage's finishing statement, which calls job_complete_v2. Its rows have `job_id` and `claim` beside what the stage gives.

    It answers with one row: `done`, the `n` of those whose results were written, and `tickets`, what follows; with none if
    nobody's were. The statement of a stage that claims nothing adds `messages` and `customers`: of each `n`, the id of the
    message it was about, and of its customer.
    It is given nothing but the jobs, so it does the thread's companions as well (shared/broker/enqueue.py).

    `patience`: seconds that an execution may take, if it goes through much. Not by db.patient around the call, for that keeps one
    connection, and a result that is insisted on needs another one when that dies.
    """

    def __init__(self, query: sql.Query, *, patience: float | None = None) -> None:
        self._statement = Statement(query, patience=patience)
        self._batch: Batch[Sequence[_Item], Sequence[_Completed]] = Batch(self._run_batch)

    def __call__(self, job: Job, values: Mapping[str, Any] | None = None) -> bool:
        """Completes the job; False if there was nothing to write the results to: then nothing happened.

        Raises LeaseLost, for a job that was not claimed also ServiceDown; such a job learns its message and
        customer here.
        """
        item = _Item({"job_id": job.id, "claim": job.claim, **(values or {})}, current_delivery())
        others = [] if job.claim else [(companion, Timings()) for companion in companions()]
        items = [item, *(_Item({"job_id": companion.job_id, "claim": 0}, companion.delivery) for companion, _ in others)]
        try:
            completed, *rest = insist(lambda: self._batch(items)) if job.claim else self._complete_together(items)
        except peewee.DatabaseError as error:
            if getattr(getattr(error, "orig", None), "pgcode", None) != LEASE_LOST:
                raise
            raise LeaseLost(f"job {job.id}: claim {job.claim} is over") from error
        for (companion, timings), result in zip(others, rest, strict=False):
            if result is not None:
                finish_companion(companion)
                report_completed(Job(companion.job_id, 0, job.queue, **result), timings)
        if completed is None:
            return False
        job.message_id = completed.get("message_id", job.message_id)
        job.customer_id = completed.get("customer_id", job.customer_id)
        return True

    def _complete_together(self, items: Sequence[_Item]) -> Sequence[_Completed]:
        try:
            return self._batch(items)
        except ServiceDown:
            raise
        except Exception:
            if len(items) == 1:
                raise
            return self._batch(items[:1])  # a companion may have spoiled it; each of them is done alone

    def _run_batch(self, calls: Sequence[Sequence[_Item]]) -> list[Sequence[_Completed]]:
        items = [item for call in calls for item in call]
        completed: list[_Completed] = [None] * len(items)
        for row in self._statement.execute([item.values for item in items]):
            deliveries = [items[n].delivery for n in row["done"]]
            enqueue(tickets_of(row["tickets"]), [delivery for delivery in deliveries if delivery])
            messages, customers = row.get("messages", {}), row.get("customers", {})
            for n in row["done"]:
                completed[n] = {"message_id": messages[str(n)], "customer_id": customers[str(n)]} if messages else {}
        results = iter(completed)
        return [list(islice(results, len(call))) for call in calls]


_complete_statement = CompletionStatement(queries["complete"])


def complete(job: Job) -> None:
    """Ends a job that leaves nothing behind. Raises LeaseLost."""
    _complete_statement(job, {"queue": job.queue})


def report_completed(job: Job, timings: Timings) -> None:
    """Logs and counts a job that is completed."""
    timings.lap("work")
    with log_context(**job.log_ids()):
        log.info("job_completed", extra={"ms": timings.ms})
    count_attempt(job.queue, "completed", timings)


def count_attempt(queue: Queue, outcome: str, timings: Timings) -> None:
    """Counts an attempt and its time, for /metrics."""
    metrics.increment("attempts", queue.value, outcome)
    metrics.increment("seconds", queue.value, by=sum(timings.ms.values()) / 1000)
