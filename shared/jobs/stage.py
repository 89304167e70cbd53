"""The wrapper around every actor: parse, claim, run, outcome. The only place that maps errors to the ledger.

(Dramatiq swallows ordinary exceptions of middleware, so what must not fail is here.) The retries themselves are
Dramatiq's Retries middleware; the wrapper tells it, by the message's options, what the ledger decided.
"""

from __future__ import annotations

import logging
import random
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dramatiq
import sentry_sdk
from dramatiq.errors import Retry
from dramatiq.middleware import CurrentMessage

from shared import queues
from shared.broker import rate_limits
from shared.broker.enqueue import enqueue
from shared.config import settings
from shared.errors import LeaseLost, OutcomeUnknown, PermanentError, RateLimited, ServiceDown, Snooze
from shared.jobs import dead_letter, ledger, worker_process
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming, NotNow, Ticket
from shared.queues import Queue
from shared.telemetry import metrics
from shared.telemetry.logs import log_context
from shared.telemetry.timings import Timings

log = logging.getLogger(__name__)

#: Executions of a job: the first and three retries, after 1, 2 and 4 s.
MAX_RETRIES = 3
FIRST_BACKOFF = 1.0
#: Claims that may vanish with their worker before the job counts as the cause.
POISON_AFTER = 3
#: Seconds after which a suspect asks again whether it may run.
QUARANTINE_DELAY = 1.0
#: Seconds before the end of its age at which a job that waits is tried for the last time, at the most.
FINAL_ATTEMPT_WINDOW = 5.0
#: Seconds until a message is looked at again whose job could not be, because PostgreSQL was down.
OUTAGE_DELAY = 2.0

#: A stage's work; it ends with an Ending (shared/jobs/completion.py), which writes results, the job's end and what follows.
Work = Callable[[Claim], None]


class _Retry(Retry):
    """For the Retries middleware: run again in `delay` ms, or (delay None) never."""


def stage(claim: Claiming, work: Work, whole: Ending | None = None) -> list[dramatiq.Actor[[int], None]]:
    """Registers the actors of a stage: one for each lane, and its dead letter.

    `whole` is the statement of a stage that only talks to PostgreSQL: it does the stage's whole work .
    """
    queue = claim.queue
    broker = worker_process.boot()
    dead_letter.declare(queue, broker)
    return [
        dramatiq.actor(
            actor_name=queues.actor_name(lane),
            queue_name=lane,
            priority=priority,
            max_retries=MAX_RETRIES,
            min_backoff=int(FIRST_BACKOFF * 1000),
            on_retry_exhausted=queues.dead_letter_name(queue),
            broker=broker,
        )(_runner(work, claim, whole))
        for priority, lane in queues.lanes(queue).items()
    ]


def _runner(work: Work, claim: Claiming, whole: Ending | None) -> Callable[[int], None]:
    def run_job(job_id: int) -> None:
        run(job_id, work, claim, whole)

    return run_job


def run(job_id: int, work: Work, claim: Claiming, whole: Ending | None = None) -> None:
    """One delivery of a job's id: claims it, works, records what became of it; all at once where that goes."""
    phases = Timings()
    try:
        if whole is not None and _goes_at_once(job_id, claim.queue, whole, phases):
            return
        claimed = claim(job_id)
    except ServiceDown:
        raise _retry_unrecorded(f"job {job_id} waits for postgres") from None
    if isinstance(claimed, NotNow):
        _not_now(job_id, claimed)
        return
    phases.lap("claim")
    with log_context(job=job_id, queue=claimed.queue, message=claimed.message_id, attempt=claimed.attempt):
        _execute(claimed, work, phases)


def _goes_at_once(job_id: int, queue: Queue, whole: Ending, phases: Timings) -> bool:
    """Whether the job ended in one statement. What does not is claimed next: its failure then has a place on the row."""
    if rate_limits.limited(queue):
        return False
    try:
        ended = whole.at_once(job_id)
    except ServiceDown:
        raise
    except Exception as problem:
        log.debug("does not go at once", extra={"job": job_id, "error": str(problem)})
        return False
    if ended is None:
        return False
    phases.lap("work")
    with log_context(job=job_id, queue=queue, message=ended.message_id, attempt=1):
        _completed(queue, phases)
    return True


def _completed(queue: Queue, phases: Timings) -> None:
    log.info("completed", extra={"ms": phases.ms})
    _count(queue, "completed", phases)


def _not_now(job_id: int, found: NotNow) -> None:
    log.debug("nothing to do", extra={"job": job_id, "state": found.state})
    if found.ticket is not None:
        enqueue([found.ticket])


def _execute(claimed: Claim, work: Work, phases: Timings) -> None:
    try:
        _refuse_poison(claimed)
        if claimed.queue not in rate_limits.OF_NUMBERS:
            rate_limits.admit(claimed)
        with _quarantine(claimed):
            work(claimed)
        phases.lap("work")
    except LeaseLost as lost:
        log.warning("result dropped", extra={"reason": str(lost)})
    except ServiceDown:
        raise _retry_unrecorded(f"job {claimed.job_id} waits for postgres") from None
    except Exception as problem:
        _settle(claimed, problem, phases)
    else:
        _completed(claimed.queue, phases)


def _refuse_poison(claimed: Claim) -> None:
    if claimed.lost_claims >= POISON_AFTER:
        raise PermanentError(f"poison: its worker vanished {claimed.lost_claims} times while working on it; given up")


_one_suspect = threading.Lock()


@contextmanager
def _quarantine(claimed: Claim) -> Iterator[None]:
    """A job one lost worker short of poison runs beside no other such: who dies with a poison is not taken for one."""
    suspect = claimed.lost_claims == POISON_AFTER - 1
    if suspect and not _one_suspect.acquire(blocking=False):
        raise Snooze(QUARANTINE_DELAY, f"its worker vanished {claimed.lost_claims} times: runs when no other suspect does")
    try:
        yield
    finally:
        if suspect:
            _one_suspect.release()


def _settle(claimed: Claim, problem: Exception, phases: Timings) -> None:
    """Records the end of an attempt that failed, and tells Retries about it."""
    try:
        if isinstance(problem, Snooze):
            _postpone(claimed, problem)
        else:
            _fail(claimed, problem, phases)
    except LeaseLost as lost:
        log.warning("failure dropped", extra={"reason": str(lost)})
    except ServiceDown:
        raise _retry_unrecorded(f"job {claimed.job_id} waits for postgres") from None


def _postpone(claimed: Claim, later: Snooze) -> None:
    delay = _within_age(claimed, later.delay)
    if delay is None:
        _fail(claimed, PermanentError(f"{later}; still so after {claimed.age:.0f} s"), Timings())
        return
    ledger.postpone(claimed, delay, str(later))
    _count(claimed.queue, "limited" if isinstance(later, RateLimited) else "later", Timings())
    log.info("later", extra={"reason": str(later), "delay": delay})
    enqueue([Ticket(claimed.job_id, claimed.queue, claimed.priority, int(delay * 1000))])


def _within_age(claimed: Claim, delay: float) -> float | None:
    """The delay; a shorter one if the job would be too old by then: it is tried once more, and only then given up (None)."""
    left = settings().job_max_age - claimed.age
    if delay <= left:
        return delay
    return left - random.uniform(0, FINAL_ATTEMPT_WINDOW) if left > FINAL_ATTEMPT_WINDOW else None


def _fail(claimed: Claim, problem: Exception, phases: Timings) -> None:
    final = isinstance(problem, PermanentError) or claimed.attempt > MAX_RETRIES
    backoff = None if final else FIRST_BACKOFF * 2 ** (claimed.attempt - 1)
    error = f"{type(problem).__name__}: {problem}" if not isinstance(problem, PermanentError) else str(problem)
    trace = "".join(traceback.format_exception(problem, limit=-12))
    ledger.end_attempt(
        claimed,
        error,
        trace,
        retry_in=backoff,
        outcome_unknown=isinstance(problem, OutcomeUnknown),
        response_status=getattr(problem, "response_status", None),
    )
    phases.lap("work")
    unknown = isinstance(problem, OutcomeUnknown)
    _count(claimed.queue, "failed" if final else "unknown" if unknown else "retried", phases)
    extra = {"error": error, "retry_in": backoff, "ms": phases.ms}
    if final:
        log.error("failed for good", extra={**extra, "traceback": trace})
        sentry_sdk.capture_exception(problem)
    else:
        log.warning("failed, will be retried", extra={**extra, "traceback": trace})
    raise _outcome(claimed, backoff) from None


def _count(queue: Queue, outcome: str, phases: Timings) -> None:
    metrics.increment("attempts", queue.value, outcome)
    metrics.increment("seconds", queue.value, by=sum(phases.ms.values()) / 1000)


def _outcome(claimed: Claim, backoff: float | None) -> _Retry:
    """What Retries needs: the ledger's count of retries, and a delay or none left."""
    message = CurrentMessage.get_current_message()
    if message is not None:
        message.options["retries"] = claimed.attempt - 1
        message.options["max_retries"] = MAX_RETRIES if backoff is not None else 0
    delay = None if backoff is None else int(backoff * 1000)
    return _Retry(f"job {claimed.job_id}, attempt {claimed.attempt} ended", delay=delay)


def _retry_unrecorded(reason: str) -> _Retry:
    """The ledger cannot be reached: deliver the message again, whatever its count says."""
    message = CurrentMessage.get_current_message()
    if message is not None:
        message.options["max_retries"] = None
    return _Retry(reason, delay=int(OUTAGE_DELAY * 1000))
