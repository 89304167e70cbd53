"""The end of a stage's work: results, the job's end and the next jobs committed together, then handed to Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import peewee

from shared.broker.enqueue import delivery, enqueue
from shared.broker.redis_broker import Delivery
from shared.db.batching import Batch
from shared.db.prepared import Statement
from shared.errors import LeaseLost
from shared.jobs.ledger import Claim, leases, tickets_of

#: SQLSTATE that schema.sql raises when a claim is not the job's last.
LOST_CLAIM = "SB001"


class _Done(NamedTuple):
    """What a finishing statement gets of a job, and what brought the job here."""

    values: Mapping[str, Any]
    delivery: Delivery | None


class Ended(NamedTuple):
    """A job that ended, and the message that it was about, where the statement says so."""

    message_id: int | None


class Ending:
    """A stage's finishing statement. Its rows have `job_id` and `claim` beside what the stage gives.

    It answers with one row: `done`, the `n` of those whose results found their place, and `tickets`, what job_finish said;
    with none if nobody's did. One that does a stage's whole work says in `messages` whose they were.
    """

    def __init__(self, name: str, sql: str) -> None:
        self._statement = Statement(name, sql)
        self._batch: Batch[_Done, Ended | None] = Batch(self._run)

    def __call__(self, claimed: Claim, values: Mapping[str, Any] | None = None) -> bool:
        """Ends the job; False if there was nothing to write the results to: then nothing was. Raises LeaseLost."""
        try:
            done = self._batch(_Done({**(values or {}), **claimed.params}, delivery()))
        except peewee.DatabaseError as problem:
            if getattr(getattr(problem, "orig", None), "pgcode", None) != LOST_CLAIM:
                raise
            leases.drop(claimed)
            raise LeaseLost(f"job {claimed.job_id}: claim {claimed.number} is over") from problem
        if done:
            leases.drop(claimed)
        return done is not None

    def at_once(self, job_id: int) -> Ended | None:
        """Takes, does and ends a job that nobody has begun; None, and nothing happened, if it is none or does not go through.

        Only for statements that do a stage's whole work.
        """
        return self._batch(_Done({"job_id": job_id, "claim": 0}, delivery()))

    def _run(self, items: Sequence[_Done]) -> list[Ended | None]:
        ended: list[Ended | None] = [None] * len(items)
        for answer in self._statement.execute([item.values for item in items]):
            deliveries = [items[n].delivery for n in answer["done"]]
            enqueue(tickets_of(answer["tickets"]), [delivered for delivered in deliveries if delivered])
            messages = answer.get("messages", {})
            for n in answer["done"]:
                ended[n] = Ended(messages.get(str(n)))
        return ended


#: Ends jobs that leave nothing behind.
end = Ending(
    "job_end",
    """
    select jsonb_agg(n) as done, job_finish(jsonb_object_agg(job_id, claim)) as tickets
    from jsonb_to_recordset($1) as mine(n int, job_id bigint, claim int)
    """,
)
