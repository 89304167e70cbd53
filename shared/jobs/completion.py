"""The end of a stage's work: results, the job's end and the next jobs committed together, then handed to Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import peewee

from shared.broker.connection import Delivery
from shared.broker.enqueue import current_delivery, enqueue, tickets_of
from shared.db import sql
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import LeaseLost
from shared.jobs.ledger import Job, insist, queries

#: SQLSTATE that schema.sql raises when a claim is not the job's last.
LEASE_LOST = "SB001"


class _Item(NamedTuple):
    """A job's values for the statement, and the delivery that brought the job here."""

    values: Mapping[str, Any]
    delivery: Delivery | None


class CompletionStatement:
    """A stage's finishing statement, which calls job_complete_v1. Its rows have `job_id` and `claim` beside what the stage gives.

    It answers with one row: `done`, the `n` of those whose results were written, and `tickets`, what follows; with none if
    nobody's were. The statement of a stage that claims nothing adds `messages` and `customers`: of each `n`, the id of the
    message it was about, and of its customer.
    """

    def __init__(self, query: sql.Query) -> None:
        self._statement = Statement(query)
        self._batch: Batch[_Item, dict[str, Any] | None] = Batch(self._run_batch)

    def __call__(self, job: Job, values: Mapping[str, Any] | None = None) -> bool:
        """Completes the job; False if there was nothing to write the results to: then nothing happened.

        Raises LeaseLost, for a job that was not claimed also ServiceDown; such a job learns its message and
        customer here.
        """
        item = _Item({"job_id": job.id, "claim": job.claim, **(values or {})}, current_delivery())
        try:
            completed = insist(lambda: self._batch(item)) if job.claim else self._batch(item)
        except peewee.DatabaseError as error:
            if getattr(getattr(error, "orig", None), "pgcode", None) != LEASE_LOST:
                raise
            raise LeaseLost(f"job {job.id}: claim {job.claim} is over") from error
        if completed is None:
            return False
        job.message_id = completed.get("message_id", job.message_id)
        job.customer_id = completed.get("customer_id", job.customer_id)
        return True

    def _run_batch(self, items: Sequence[_Item]) -> list[dict[str, Any] | None]:
        completed: list[dict[str, Any] | None] = [None] * len(items)
        for row in self._statement.execute([item.values for item in items]):
            deliveries = [items[n].delivery for n in row["done"]]
            enqueue(tickets_of(row["tickets"]), [delivery for delivery in deliveries if delivery])
            messages, customers = row.get("messages", {}), row.get("customers", {})
            for n in row["done"]:
                completed[n] = {"message_id": messages[str(n)], "customer_id": customers[str(n)]} if messages else {}
        return completed


_complete_statement = CompletionStatement(queries["complete"])


def complete(job: Job) -> None:
    """Ends a job that leaves nothing behind. Raises LeaseLost."""
    _complete_statement(job, {"queue": job.queue})
