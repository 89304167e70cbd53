"""The callback of a job that failed for good: writes FAILED where it belongs, and lets the conversation go on.

Dramatiq calls it through `on_retry_exhausted`; the sweep asks for it again where it was lost. What is written is the stage's
SQL. Doing it again does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import dramatiq
from dramatiq.message import Message

from shared import queues
from shared.broker.enqueue import enqueue, tickets_of
from shared.broker.redis_broker import Broker
from shared.db import sql
from shared.jobs.ledger import queries
from shared.queues import Queue
from shared.telemetry.logs import log_context

log = logging.getLogger(__name__)

#: Milliseconds between attempts at a dead letter while PostgreSQL is down, at most; the sweep asks again as well.
MAX_BACKOFF = 30_000


class DeadLetter:
    """A stage's dead letter. `write` ends the failed job (job_close_failed_v1), and writes what the stage has to say of it."""

    def __init__(self, write: sql.Query = queries["dead_letter"]) -> None:
        self._write = write

    def __call__(self, message: dict[str, Any], _retries: dict[str, Any]) -> None:
        """For Retries: `message` is Dramatiq's, as a dict."""
        self.process(message["args"][0])

    def process(self, job_id: int) -> bool:
        """Writes a failed job's consequences; False if that was done before."""
        job = queries["failed_job"].row(job_id=job_id)
        tickets = self.write(job_id) if job else None
        if job is None or tickets is None:
            return False
        enqueue(tickets_of(tickets))
        with log_context(job=job_id, queue=job["queue"], customer=job["customer_id"]):
            log.info("dead_letter_processed", extra={"error": job["last_error"]})  # job_failed has said how bad it is
        return True

    def write(self, job_id: int) -> Any:
        """Writes what the stage has to say; returns the tickets to enqueue, or None if that was done before."""
        return self._write.scalar(job_id=job_id)

    def declare(self, queue: Queue, broker: Broker) -> str:
        """Registers the actor in the stage's process, in front of the stage's own queue; returns its name."""
        dramatiq.actor(
            actor_name=queues.dead_letter_name(queue),
            queue_name=_first_lane(queue),
            priority=0,
            max_retries=None,  # the database will be back; the sweep would do it too
            max_backoff=MAX_BACKOFF,
            broker=broker,
        )(self.__call__)
        return queues.dead_letter_name(queue)


def request_dead_letters(queue: Queue, job_ids: Iterable[int], broker: Broker) -> int:
    """Asks the stage's process for dead letters that are late, or were lost; returns how many Redis did not carry already."""
    lane, ids = _first_lane(queue), {f"dead-letter-{job_id}": job_id for job_id in job_ids}
    missing = broker.missing(lane, list(ids)) if ids else set()
    return broker.put(_message(queue, lane, job_id) for identity, job_id in ids.items() if identity in missing) if missing else 0


def _message(queue: Queue, lane: str, job_id: int) -> Message[Any]:
    identity = f"dead-letter-{job_id}"
    return Message(
        queue_name=lane,
        actor_name=queues.dead_letter_name(queue),
        args=({"args": [job_id]}, {}),
        kwargs={},
        options={"redis_message_id": identity},
        message_id=identity,
    )


def _first_lane(queue: Queue) -> str:
    return next(iter(queues.lanes(queue).values()))
