"""What is paused, as a worker process knows it: jobs of a queue, a chatbot, a customer wait without costing an attempt.

Each process reads the few pauses there are whenever it renews its leases, so a job costs no look-up, and none has to be told.
A job that belongs to a pause is claimed as ever, and parked at once (job_park_v1), where neither Redis nor the sweep looks after
it, until the pause ends (pause_release_v2). Stages that claim nothing can be paused as a whole queue only: their jobs save what
comes in, and hand on what was answered.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NoReturn

from shared import db
from shared.config import settings
from shared.db import sql
from shared.errors import JobParked, LeaseLost, Snooze
from shared.jobs.ledger import Job, insist
from shared.models import Pause
from shared.queues import Queue

queries = sql.load(__file__)

#: Seconds for which a job is parked before it looks again by itself: a net below the end of the pause.
PARKED_FOR = 3_600.0


@dataclass(frozen=True)
class _Pause:
    id: int
    queue: str | None
    chatbot_id: int | None
    customer_id: int | None

    def holds(self, job: Job) -> bool:
        """Whether a job belongs to it: in all that the pause names."""
        return (
            self.queue in (None, job.queue)
            and self.customer_id in (None, job.customer_id)
            and self.chatbot_id in (None, _chatbot_of(job))
        )


class Pauses:
    """What this process knew last."""

    def __init__(self) -> None:
        self._pauses: tuple[_Pause, ...] = ()

    def refresh(self) -> None:
        """Reads all. Raises what an outage raises."""
        columns = (Pause.id, Pause.queue, Pause.chatbot, Pause.customer)
        self._pauses = tuple(_Pause(*row.values()) for row in db.rows(Pause.select(*columns).order_by(Pause.id)))

    def forget(self, pause_id: int) -> None:
        """It has ended, and the next refresh would say so."""
        self._pauses = tuple(pause for pause in self._pauses if pause.id != pause_id)

    def find(self, job: Job) -> int | None:
        """The pause to which a claimed job belongs."""
        return next((pause.id for pause in self._pauses if pause.holds(job)), None)

    def is_queue_paused(self, queue: Queue) -> bool:
        """Whether all of a queue is."""
        return any((pause.queue, pause.chatbot_id, pause.customer_id) == (queue, None, None) for pause in self._pauses)


current = Pauses()


def park(job: Job, pause_id: int) -> NoReturn:
    """Parks a job until the pause ends. Raises JobParked; Snooze if it has ended by now; LeaseLost."""
    values = {"job_id": job.id, "claim": job.claim, "seconds": PARKED_FOR * random.uniform(1.0, 1.2)}
    row = insist(lambda: db.retry_on_outage(lambda: queries["park"].row(pause_id=pause_id, **values), settings().job_lease))
    if row is None:
        current.forget(pause_id)
        raise Snooze(0.1, "the pause has ended")
    if not row["is_parked"]:
        raise LeaseLost(f"job {job.id}: claim {job.claim} is over")
    raise JobParked(f"pause {pause_id}")


def _chatbot_of(job: Job) -> int | None:
    """As the stage's claim has read it: beside the job, or with the account that a reply leaves by."""
    loaded = job.loaded or {}
    chatbot: int | None = loaded.get("chatbot_id") or (loaded.get("sender") or {}).get("chatbot_id")
    return chatbot
