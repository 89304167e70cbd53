"""A job's life in PostgreSQL: claim, renew, retry, fail, hand back, and what the sweep puts right.

Each verb is one statement. `claims` numbers a job's claims and is its fence: what an execution writes counts only
while its claim is the job's last one (schema.sql, job_finish).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared import db
from shared.config import settings
from shared.db.prepared import Statement
from shared.errors import LeaseLost
from shared.payloads import strip_invalid
from shared.queues import MODULES, VISIBLE, Queue

#: Who we are in `claimed_by`; a new one for each process.
WORKER_ID = f"worker-{uuid.uuid4().hex[:12]}"
#: Seconds before `run_at` at which a delayed job may be claimed: clocks of Redis' writer and Postgres differ a little.
CLOCK_SKEW = 0.05
#: Characters of an error and of a stack trace that are kept on the row.
MAX_ERROR, MAX_TRACEBACK = 2_000, 8_000


@dataclass(frozen=True)
class Ticket:
    """A job to be handed to Redis."""

    id: int
    queue: Queue
    priority: int
    delay_ms: int = 0


@dataclass(frozen=True)
class Claim:
    """A job that this process may work on, until its lease ends."""

    job_id: int
    number: int
    queue: Queue
    priority: int
    payload: Mapping[str, Any]
    attempt: int
    lost_claims: int
    age: float
    customer_id: int | None
    message_id: int | None
    webhook_event_id: int | None
    outcome_unknown_for: float | None
    loaded: dict[str, Any] | None

    @property
    def params(self) -> dict[str, Any]:
        """What a finishing statement needs for job_finish."""
        return {"job_id": self.job_id, "claim": self.number}


@dataclass(frozen=True)
class NotNow:
    """A delivery that finds nothing to do: closed (`delay` None), held (None), or to be looked at in `delay` seconds."""

    state: str
    ticket: Ticket | None = None


_CLAIM = """
    with asked as materialized (
        select *{hasty} from jsonb_to_recordset($1) as a(n int, id bigint, worker text, lease float8, early float8) order by id
    ), mine as (
        update job set state = 'active', claims = claims + 1, attempts = attempts + 1,
            lost_claims = lost_claims + (state = 'active')::int,
            outcome_unknown_since = case when state = 'active' and starts_with(queue, 'whatsapp-')
                then clock_timestamp() else outcome_unknown_since end,
            claimed_by = asked.worker, lease_until = clock_timestamp() + make_interval(secs => asked.lease),
            run_at = null, started_at = coalesce(started_at, clock_timestamp())
        from asked
        where job.id = any (array(select id from asked)) -- by the index, also where the plan was made on an empty table
          and job.id = asked.id and queue = '{queue}' and closed_at is null and not held
          and (state = 'waiting'
               or state = 'delayed' and run_at <= clock_timestamp() + make_interval(secs => asked.early)
               or state = 'active' and lease_until < clock_timestamp())
        returning n, job.id as job_id, claims as number, queue, priority, payload, attempts as attempt, lost_claims,
            extract(epoch from clock_timestamp() - created_at)::float8 as age, customer_id, message_id, webhook_event_id,
            extract(epoch from clock_timestamp() - outcome_unknown_since)::float8 as outcome_unknown_for
    )
    select mine.*, {loaded} as loaded from mine
"""
# A claim that a crash of PostgreSQL forgets costs one execution more.
_HASTY = ", set_config('synchronous_commit', 'off', true) as hasty"


class Claiming:
    """How a stage takes its jobs: claims and, in the same round trip, what `load` selects for the claimed row `mine`.

    `load` gives at most one row; it becomes the claim's `loaded`.
    """

    def __init__(self, queue: Queue, load: str = "") -> None:
        self.queue = queue
        hasty = "" if queue in VISIBLE else _HASTY
        loaded = f"(select to_jsonb(found) from ({load}) found)" if load else "null::jsonb"
        self._statement = Statement(f"claim_{MODULES[queue]}", _CLAIM.format(queue=queue, hasty=hasty, loaded=loaded))

    def __call__(self, job_id: int) -> Claim | NotNow:
        """Takes a job for this process, or says why there is nothing to do. Raises ServiceDown."""
        found = self._statement({"id": job_id, "worker": WORKER_ID, "lease": settings().job_lease, "early": CLOCK_SKEW})
        if found is None:
            return _look(job_id)
        taken = Claim(**{**found, "queue": Queue(found["queue"])})
        leases.add(taken)
        return taken


_LOOK = """
    select id, queue, priority, state, held, closed_at is not null as closed,
        ceil(greatest(0, extract(epoch from coalesce(run_at, lease_until) - clock_timestamp())) * 1000)::int as delay_ms
    from job where id = %(id)s
"""


def _look(job_id: int) -> NotNow:
    found = db.retry_on_outage(lambda: db.row(_LOOK, {"id": job_id}), patience=settings().job_lease)
    if found is None:
        return NotNow("gone")
    if found["closed"] or found["held"] or found["state"] == "failed":
        return NotNow("held" if found["held"] else found["state"])
    ticket = Ticket(found["id"], Queue(found["queue"]), found["priority"], max(found["delay_ms"], 50))
    return NotNow(found["state"], ticket)


def tickets_of(found: list[dict[str, Any]]) -> list[Ticket]:
    """The tickets of a SQL verb's answer."""
    return [Ticket(t["id"], Queue(t["queue"]), t["priority"], t["delay_ms"]) for t in found]


_FAIL = """
    with told as (
        update message set attempts = %(attempt)s, error = %(error)s, updated_at = clock_timestamp(),
            metadata = metadata || jsonb_build_object('attempts', %(attempt)s, 'last_error', %(error)s)
        where id = %(message_id)s and role = 'assistant'
    ), event as (
        update webhook_event set attempts = %(attempt)s, error = %(error)s, response_status = %(response_status)s
        where id = %(webhook_event_id)s and status = 'PENDING'
    )
    update job set
        state = case when %(retry_in)s::float8 is null then 'failed' else 'delayed' end,
        run_at = clock_timestamp() + make_interval(secs => %(retry_in)s),
        last_error = %(error)s, last_traceback = %(traceback)s, lease_until = null, claimed_by = null,
        outcome_unknown_since = case when %(unknown)s then clock_timestamp() else outcome_unknown_since end
    where id = %(job_id)s and state = 'active' and claims = %(claim)s
    returning id
"""


def end_attempt(
    claimed: Claim,
    error: str,
    traceback: str | None = None,
    *,
    retry_in: float | None,
    outcome_unknown: bool = False,
    response_status: int | None = None,
) -> None:
    """Ends an execution that did not finish: to be run again in `retry_in` seconds, or failed (None).

    The error goes to the job and to the message or webhook event that it is about. Raises LeaseLost.
    """
    params = {
        **claimed.params,
        "attempt": claimed.attempt,
        "error": strip_invalid(error)[:MAX_ERROR],
        "traceback": strip_invalid(traceback)[-MAX_TRACEBACK:] if traceback else None,
        "retry_in": retry_in,
        "unknown": outcome_unknown,
        "response_status": response_status,
        "message_id": claimed.message_id if claimed.queue is not Queue.INCOMING else None,
        "webhook_event_id": claimed.webhook_event_id,
    }
    found = db.retry_on_outage(lambda: db.row(_FAIL, params), patience=settings().job_lease)
    leases.drop(claimed)
    if found is None:
        raise LeaseLost(f"job {claimed.job_id}: claim {claimed.number} is over")


_later = Statement(
    "job_later",
    """
    with asked as materialized (
        select * from jsonb_to_recordset($1) as a(n int, job_id bigint, claim int, delay float8, reason text) order by job_id
    )
    update job set state = 'delayed', run_at = clock_timestamp() + make_interval(secs => asked.delay), attempts = attempts - 1,
        last_error = asked.reason, last_traceback = null, lease_until = null, claimed_by = null
    from asked
    where job.id = any (array(select job_id from asked)) and job.id = asked.job_id and state = 'active' and claims = asked.claim
    returning n
    """,
)


def postpone(claimed: Claim, delay: float, reason: str) -> None:
    """Gives a job back for `delay` seconds, and its attempt with it. Raises LeaseLost."""
    found = _later({**claimed.params, "delay": delay, "reason": strip_invalid(reason)[:MAX_ERROR]})
    leases.drop(claimed)
    if found is None:
        raise LeaseLost(f"job {claimed.job_id}: claim {claimed.number} is over")


_RENEW = """
    update job set lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
    from unnest(%(ids)s::bigint[], %(claims)s::int[]) as mine(id, claim)
    where job.id = mine.id and claims = mine.claim and state = 'active'
"""

_HAND_BACK = """
    update job set state = 'waiting', attempts = attempts - 1, lease_until = null, claimed_by = null,
        outcome_unknown_since = case when queue like 'whatsapp-%%'
            then clock_timestamp() else outcome_unknown_since end
    from unnest(%(ids)s::bigint[], %(claims)s::int[]) as mine(id, claim)
    where job.id = mine.id and claims = mine.claim and state = 'active'
    returning job.id, queue, priority, 0 as delay_ms
"""


class Leases:
    """The claims that this process holds now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, int] = {}

    def add(self, claimed: Claim) -> None:
        """Remembers a claim."""
        with self._lock:
            self._held[claimed.job_id] = claimed.number

    def drop(self, claimed: Claim) -> None:
        """Forgets a claim that ended."""
        with self._lock:
            if self._held.get(claimed.job_id) == claimed.number:
                del self._held[claimed.job_id]

    def clear(self) -> None:
        """Forgets all claims, without ending them: what a killed process does."""
        with self._lock:
            self._held.clear()

    def _params(self) -> dict[str, Any]:
        with self._lock:
            return {"ids": list(self._held), "claims": list(self._held.values()), "lease": settings().job_lease}

    def renew(self) -> None:
        """Extends every lease: a slow call must not be taken over."""
        params = self._params()
        if params["ids"]:
            db.rows(_RENEW, params)

    def hand_back(self) -> list[Ticket]:
        """Gives every claim back, its attempt with it; returns the tickets to enqueue."""
        params = self._params()
        return tickets_of(db.rows(_HAND_BACK, params)) if params["ids"] else []


leases = Leases()
