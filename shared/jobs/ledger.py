"""A job's life in PostgreSQL, as Python sees it: claim, snooze, fail an attempt. The verbs themselves are in schema.sql.

`claim` numbers a job's claims and is its fence: what an execution writes counts only while its claim is the job's last one.
A job of a stage that only talks to PostgreSQL (queues.UNCLAIMED) is completed or snoozed without one, with claim 0.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared import db
from shared.broker import identity
from shared.broker.enqueue import Ticket, enqueue, tickets_of
from shared.config import settings
from shared.db import sql
from shared.db.outage import TOO_SLOW
from shared.db.prepared import Statement
from shared.errors import LeaseLost, ServiceDown
from shared.payloads import strip_invalid
from shared.queues import MODULES, Queue

queries = sql.load(__file__)

#: Seconds before `run_at` at which a delayed job may be claimed: clocks of Redis' writer and PostgreSQL differ a little.
CLOCK_SKEW = 0.05
#: Seconds before the end of its age at which a job that is snoozed is tried for the last time, at the most.
FINAL_ATTEMPT_WINDOW = 5.0
#: Milliseconds after which a job that another worker holds is looked at again, at the least.
MIN_LOOK_AGAIN_MS = 50
#: Characters of an error and of a stack trace that are kept on the row.
MAX_ERROR, MAX_TRACEBACK = 2_000, 8_000
#: Seconds between attempts to record a result while PostgreSQL is away; each attempt takes up to a lease's length itself.
INSIST_PAUSE = 0.5
#: Such attempts of a statement that PostgreSQL ends for its slowness: a minute and more in all.
SLOW_TRIES = 5

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Job:
    """A job in a worker's hands. `claim` 0: not claimed, and nothing known of it but its id; a single statement does it all."""

    id: int
    claim: int
    queue: Queue
    priority: int = 5
    payload: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    lost_claims: int = 0
    #: Seconds since it was added.
    age: float = 0.0
    customer_id: int | None = None
    message_id: int | None = None
    webhook_event_id: int | None = None
    #: Seconds since an earlier attempt may have acted outside, and its answer was not kept.
    outcome_unknown_for: float | None = None
    #: What the stage's claim statement read along with the job.
    loaded: dict[str, Any] | None = None

    def log_ids(self) -> dict[str, Any]:
        """What each log line about it says."""
        attempt = self.attempt if self.claim else None
        return {"job": self.id, "queue": self.queue, "customer": self.customer_id, "message": self.message_id, "attempt": attempt}


@dataclass(frozen=True)
class NotClaimed:
    """There is nothing to do for a delivery: the job is `state`; `ticket` says when to look again, if ever."""

    state: str
    ticket: Ticket | None = None


class Leases:
    """The claims that this process holds now.

    At most one thread claims a job or works on it, whatever is delivered. So this process may take a job at once that PostgreSQL
    believes it has: what it knew of that claim is lost, or it has given up (job_claim_v3).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, bool]] = {}
        self._claiming: set[int] = set()
        self._abandoned: dict[int, int] = {}

    @contextmanager
    def claiming(self, job_id: int) -> Iterator[bool]:
        """For the thread that claims a job; False if another one does, or works on it."""
        with self._lock:
            is_free = job_id not in self._held and job_id not in self._claiming
            if is_free:
                self._claiming.add(job_id)
        try:
            yield is_free
        finally:
            if is_free:
                with self._lock:
                    self._claiming.discard(job_id)

    def abandoned(self, job_id: int) -> int:
        """The claim under which this process worked on a job, and could not record what came of it; 0: there is none."""
        with self._lock:
            return self._abandoned.get(job_id, 0)

    def add(self, job_id: int, claim: int, at_most_once: bool) -> None:
        """Remembers a claim. `at_most_once`: given back unfinished, its outcome is unknown."""
        with self._lock:
            self._held[job_id] = claim, at_most_once
            self._abandoned.pop(job_id, None)

    def drop(self, job_id: int, claim: int) -> None:
        """Forgets a claim that ended."""
        with self._lock:
            if self._held.get(job_id, (0, False))[0] == claim:
                self._held.pop(job_id, None)

    def abandon(self, job_id: int, claim: int) -> None:
        """Nobody works on the job any more, and its end could not be recorded; a claim that ended is none."""
        with self._lock:
            if self._held.get(job_id, (0, False))[0] == claim:
                self._held.pop(job_id)
                self._abandoned[job_id] = claim

    def clear(self) -> None:
        """Forgets all claims, without ending them: what a killed process does."""
        with self._lock:
            self._held.clear()
            self._abandoned.clear()

    def _snapshot(self) -> tuple[list[int], list[int], list[bool]]:
        with self._lock:
            claims = list(self._held.values())
            return list(self._held), [claim for claim, _ in claims], [at_most_once for _, at_most_once in claims]

    def renew(self) -> None:
        """Extends every lease: a slow call must not be taken over. A claim is held as long as a thread works on its job."""
        ids, claims, _ = self._snapshot()
        if ids:
            queries["renew_leases"].rows(ids=ids, claims=claims, lease=settings().job_lease)
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Forgets abandoned claims whose jobs have ended since, or were claimed again: an outage may leave thousands."""
        with self._lock:
            abandoned = dict(self._abandoned)
        if not abandoned:
            return
        rows = queries["still_claimed"].rows(ids=list(abandoned), claims=list(abandoned.values()))
        ended = abandoned.keys() - {row["id"] for row in rows}
        with self._lock:
            for job_id in ended:
                if self._abandoned.get(job_id) == abandoned[job_id]:
                    del self._abandoned[job_id]

    def release_all(self) -> list[Ticket]:
        """Gives every claim back, its attempt with it; returns the tickets to enqueue."""
        ids, claims, at_most_once = self._snapshot()
        if not ids:
            return []
        return tickets_of(queries["release_leases"].scalar(ids=ids, claims=claims, at_most_once=at_most_once))


leases = Leases()


class ClaimStatement:
    """How a stage takes its jobs: claims them and, in the same round trip, reads what its query selects beside them."""

    def __init__(self, queue: Queue, query: sql.Query, at_most_once: bool = False, durable: bool = False) -> None:
        self.queue, self.at_most_once = queue, at_most_once
        self._row = {"queue": queue, "worker": identity.name, "at_most_once": at_most_once, "durable": durable}
        self._claim = Statement(query, name=f"claim_{MODULES[queue]}").batched()

    def __call__(self, job_id: int) -> Job | NotClaimed:
        """Takes a job for this process, or says why there is nothing to do. Raises ServiceDown."""
        with leases.claiming(job_id) as is_free:
            row = self._claim(self._row | self._values(job_id)) if is_free else None
            if row is None:
                return _why_not_claimed(job_id)
            job = Job(id=row.pop("job_id"), queue=Queue(row.pop("queue")), **row)
            leases.add(job.id, job.claim, self.at_most_once)
        return job

    def _values(self, job_id: int) -> dict[str, Any]:
        times = {"lease": settings().job_lease, "clock_skew": CLOCK_SKEW}
        return {"job_id": job_id, "begun": leases.abandoned(job_id), **times}


def _why_not_claimed(job_id: int) -> NotClaimed:
    """What a delivery has to do about a job that it could not claim."""
    row = db.retry_on_outage(lambda: queries["state_of_job"].row(job_id=job_id), settings().job_lease)
    if row is None:
        return NotClaimed("gone")
    if row["closed"] or row["held"] or row["state"] in ("failed", "parked"):
        return NotClaimed("held" if row["held"] else row["state"])
    delay = max(row["delay_ms"], MIN_LOOK_AGAIN_MS)
    return NotClaimed(row["state"], Ticket(row["id"], Queue(row["queue"]), row["priority"], delay, row["customer_id"]))


def insist(write: Callable[[], T]) -> T:
    """What came of a claimed job is kept in memory until PostgreSQL takes it, however long it is away.

    Else a message that left would leave again, and an answer be paid for twice. The claim's fence decides what counts: while
    this process lives Redis gives the job to nobody else, and when PostgreSQL is back its lease is renewed. At a shutdown
    that comes first the lease is released, as that of any job which is not finished in time. Only a statement that PostgreSQL
    itself has ended for its slowness is given up at last, with that error.
    """
    slow = 0
    while True:
        try:
            return write()
        except ServiceDown as problem:
            slow += db.word_for(problem) == TOO_SLOW
            if slow >= SLOW_TRIES and problem.__cause__ is not None:
                raise problem.__cause__ from None
            log.warning("result_kept_in_memory", extra={"reason": str(problem)})
            time.sleep(INSIST_PAUSE)


_snooze = Statement(queries["snooze"], name="snooze").batched()


def snooze(job: Job, delay: float, reason: str, max_age: float, *, untried: bool = False) -> tuple[float | None, float]:
    """Gives a job back for `delay` seconds, and its attempt with it; returns the wait, and the job's age in seconds.

    The wait is shorter where the job would be older than `max_age` by then, and None where it is that already: then
    nothing happened. `untried`: it has begun nothing yet, under no claim. Raises LeaseLost, for a job that was not claimed also
    ServiceDown.
    """
    values = {
        "job_id": job.id,
        "claim": job.claim,
        "delay": delay,
        "max_age": max_age,
        "final_window": FINAL_ATTEMPT_WINDOW,
        "untried": untried,
        "reason": strip_invalid(reason)[:MAX_ERROR],
    }
    row = insist(lambda: _snooze(values)) if job.claim else _snooze(values)
    if row is None:
        raise LeaseLost(f"job {job.id}: claim {job.claim} is over")
    return row["delay"], row["age"]


def fail_attempt(
    job: Job,
    query: sql.Query,
    error: str,
    traceback: str | None = None,
    *,
    retry_delays: list[float],
    outcome_unknown: bool = False,
    customer_error: str | None = None,
    error_code: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> tuple[int, float | None]:
    """Ends an execution that failed; returns the attempt's number, and the seconds until the next one (None: failed for good).

    `query` is the stage's: it records the failure on the job and on what the job is about, which gets `customer_error`: the same
    with the words of whoever refused, and `error_code`: why, in a code of ours. Raises LeaseLost.
    """
    parameters = {
        "job_id": job.id,
        "claim": job.claim,
        "error": strip_invalid(error)[:MAX_ERROR],
        "customer_error": strip_invalid(customer_error or error)[:MAX_ERROR],
        "error_code": error_code,
        "traceback": strip_invalid(traceback)[-MAX_TRACEBACK:] if traceback else None,
        "retry_delays": retry_delays,
        "outcome_unknown": outcome_unknown,
        "details": db.json(dict(details or {})),
    }
    needed = {name: parameters[name] for name in query.parameters}
    row = insist(lambda: db.retry_on_outage(lambda: query.row(**needed), settings().job_lease))
    if row is None:
        raise LeaseLost(f"job {job.id}: claim {job.claim} is over")
    enqueue(tickets_of(row.get("tickets") or ()))
    return row["attempt"], row["retry_in"]


def expire_leases_of(worker: str) -> None:
    """Lets others claim at once what a worker had in hand that is known to be dead."""
    queries["expire_leases"].rows(queues=[queue.value for queue in Queue], worker=worker)
