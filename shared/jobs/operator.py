"""What an operator does to a job by hand: runs a failed one again, or gives one up (dashboard, scripts/jobs)."""

from __future__ import annotations

import logging

import redis
from dramatiq.common import xq_name

from shared import db, queues
from shared.broker.connection import outage
from shared.broker.enqueue import Ticket, enqueue, message_for, tickets_of
from shared.broker.redis_broker import get_broker
from shared.errors import Refused
from shared.jobs.dead_letter import request_dead_letters
from shared.models import Job
from shared.queues import Queue

log = logging.getLogger(__name__)

#: What a job that an operator deleted failed for.
REASON = "deleted by an operator"

_WHY_NOT = {
    "gone": "There is no job {id}: it was pruned, or never was.",
    "busy": "Job {id} is being worked on. Try again when it has ended.",
    "active": "Job {id} is being worked on. Try again when it has ended.",
    "waiting": "Job {id} has not failed: it is waiting, and will run.",
    "delayed": "Job {id} has not failed: it is delayed, and will run.",
    "completed": "Job {id} is completed; only a failed job runs again, and only an open one is given up.",
    "answered": (
        "The message of job {id} was already answered (by the fallback message, if the AI failed), so it is not asked again."
    ),
    "redelivered": "The event of job {id} is gone, or was redelivered by another job.",
}


class JobRefused(Refused):
    """The job is not in a state for that; `state` is the ledger's word for it, the text an operator's."""

    def __init__(self, job_id: int, state: str) -> None:
        super().__init__(_WHY_NOT[state].format(id=job_id))
        self.state = state


def requeue(job_id: int) -> None:
    """Runs a failed job again, as if it were new: in its turn, if it has an ordering key. Raises JobRefused."""
    with db.transaction():
        # First its event, which the sweep may be giving another job at this moment; it waits for no job (job_requeue_v2).
        db.rows(
            "select from webhook_event where id = (select webhook_event_id from job where id = %s) for no key update", [job_id]
        )
        answer = db.scalar("select job_requeue_v2(%s)", [job_id])
    if answer["outcome"] != "requeued":
        raise JobRefused(job_id, answer["outcome"])
    [ticket] = tickets_of([answer["ticket"]])
    log.warning("job_requeued", extra={"job": job_id, "queue": ticket.queue, "held": answer["held"]})
    enqueue([] if answer["held"] else [ticket])
    _forget_dead_message(ticket)


def discard(job_id: int) -> None:
    """Gives a job up; its stage writes what follows from a failure. Raises JobRefused for one that runs, or has completed."""
    outcome = db.scalar("select job_discard_v1(%s, %s)", [job_id, REASON])
    if outcome != "discarded":
        raise JobRefused(job_id, outcome)
    log.warning("job_discarded", extra={"job": job_id})
    queue = Queue(db.scalar(Job.select(Job.queue).where(Job.id == job_id)))
    try:
        request_dead_letters(queue, [job_id], get_broker())
    except redis.RedisError as error:  # the sweep asks again
        outage.noticed(error)


def _forget_dead_message(ticket: Ticket) -> None:
    """Takes the job's message out of Dramatiq's dead-letter queue, which the dashboard shows as failed."""
    broker, message = get_broker(), message_for(ticket)
    name = f"{broker.namespace}:{xq_name(queues.lane(ticket.queue, ticket.priority))}"
    try:
        pipe = broker.client.pipeline()
        pipe.zrem(name, message.message_id)
        pipe.hdel(f"{name}.msgs", message.message_id)
        pipe.execute()
    except redis.RedisError as problem:
        outage.noticed(problem)
