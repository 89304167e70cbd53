"""What becomes of a job that its attempt did not complete: recorded in the ledger, counted, logged, told to Dramatiq."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dramatiq.errors import Retry
from dramatiq.middleware import CurrentMessage

from shared.broker.enqueue import Ticket, current_customer, enqueue
from shared.db import sql
from shared.errors import (
    JobParked,
    LeaseLost,
    OutcomeUnknown,
    OutsideFailure,
    PermanentError,
    PermanentRefusal,
    RateLimited,
    ServiceDown,
    Snooze,
    WaitsForService,
)
from shared.jobs import ledger
from shared.jobs.completion import count_attempt
from shared.jobs.ledger import Job
from shared.jobs.retry_policy import RetryPolicy
from shared.telemetry.timings import Timings

log = logging.getLogger(__name__)

#: Seconds until a message is delivered again whose outcome could not be recorded, because PostgreSQL was down.
OUTAGE_DELAY = 2.0
#: Seconds: a century, for JSON knows no infinity.
ANY_AGE = 3e9


#: What the SQL that ends a stage's failed attempt is told as `details`.
FailureDetails = Callable[[Job, Exception], Mapping[str, Any]]


def details_of_problem(_job: Job, problem: Exception) -> Mapping[str, Any]:
    """What the stage has written on the exception."""
    return getattr(problem, "details", None) or {}


class Policies(Protocol):
    """What recording an outcome needs to know of a stage."""

    @property
    def retry(self) -> RetryPolicy:
        """When to try again."""

    @property
    def outside_level(self) -> int:
        """The level of the log line of a job that failed by an OutsideFailure."""

    @property
    def attempt_failed(self) -> sql.Query:
        """SQL that ends a failed attempt."""

    @property
    def failure_details(self) -> FailureDetails:
        """What that SQL is told besides."""


class AttemptEnded(Retry):
    """For the Retries middleware: run again in `delay` ms, or (delay None) never. `options` of the message are how it is told."""

    def __init__(self, reason: str, delay: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason, delay=delay)
        self.options = options or {}

    def tell_dramatiq(self) -> None:
        """Sets the options of the message that this thread works on."""
        message = CurrentMessage.get_current_message()
        if message is not None:
            message.options.update(self.options)


def report_parked(job: Job, parked: JobParked, timings: Timings) -> None:
    """Logs and counts a job that its stage has parked."""
    log.info("job_parked", extra={"reason": str(parked)})
    count_attempt(job.queue, "parked", timings)


def record_failure(stage: Policies, job: Job, error: Exception, timings: Timings) -> None:
    """Ends an attempt that did not complete its job. Raises AttemptEnded, unless the job is snoozed or no longer ours."""
    try:
        if isinstance(error, Snooze):
            too_old = _snooze(stage.retry, job, error)
            if too_old is None:
                return
            error = too_old
        _fail(stage, job, error, timings)
    except LeaseLost as lost:
        log.warning("failure_dropped", extra={"reason": str(lost)})


def snooze_unclaimed(policy: RetryPolicy, job: Job, snooze: Snooze) -> PermanentError | None:
    """Delays a job that nobody has claimed; returns its failure if it is too old for that. Raises AttemptEnded."""
    try:
        return _snooze(policy, job, snooze)
    except LeaseLost:  # it is done, or its turn came some other way
        return None
    except ServiceDown:
        raise redeliver(f"job {job.id} waits for PostgreSQL") from None


def _snooze(policy: RetryPolicy, job: Job, snooze: Snooze) -> PermanentError | None:
    """Delays the job; returns its failure if it is too old for that."""
    age_limit = ANY_AGE if isinstance(snooze, WaitsForService) else policy.age_limit
    delay, age = ledger.snooze(job, snooze.delay, str(snooze), age_limit, untried=snooze.untried)
    if delay is None:
        # A limit of our own that is too low is ours to fix.
        kind = PermanentError if isinstance(snooze, RateLimited) else PermanentRefusal
        failure = kind(f"{snooze}; still so after {age:.0f} s")
        if isinstance(failure, PermanentRefusal):
            failure.error_code = snooze.error_code
        return failure
    count_attempt(job.queue, "limited" if isinstance(snooze, RateLimited) else "later", Timings())
    log.info("job_snoozed", extra={"reason": str(snooze), "delay": delay})
    enqueue([Ticket(job.id, job.queue, job.priority, int(delay * 1000), job.customer_id or current_customer())])
    return None


def _fail(stage: Policies, job: Job, problem: Exception, timings: Timings) -> None:
    is_permanent, is_unknown = isinstance(problem, PermanentError), isinstance(problem, OutcomeUnknown)
    error = str(problem) if is_permanent else f"{type(problem).__name__}: {problem}"
    is_ours = not isinstance(problem, PermanentError | OutsideFailure)
    attempt, retry_in = ledger.fail_attempt(
        job,
        stage.attempt_failed,
        error,
        "".join(traceback.format_exception(problem, limit=-12)) if is_ours else None,
        retry_delays=[] if is_permanent else stage.retry.jittered(),
        outcome_unknown=is_unknown,
        customer_error=f"{error}: {words}" if (words := getattr(problem, "words", "")) else error,
        error_code=getattr(problem, "error_code", None),
        details=stage.failure_details(job, problem),
    )
    timings.lap("work")
    count_attempt(job.queue, "failed" if retry_in is None else "unknown" if is_unknown else "retried", timings)
    extra = {"error": error, "retry_in": retry_in, "ms": timings.ms}
    level = _level(stage, problem)
    if retry_in is None:  # at ERROR, the line is also what Sentry is told
        log.log(level, "job_failed", extra=extra, exc_info=problem if is_ours else None)
    else:
        log.log(min(level, logging.WARNING), "attempt_failed", extra=extra, exc_info=problem if is_ours else None)
    raise _attempt_ended(job, attempt, retry_in, stage.retry.max_retries) from None


def _level(stage: Policies, problem: Exception) -> int:
    if not isinstance(problem, OutsideFailure):
        return logging.ERROR
    return stage.outside_level if problem.level is None else problem.level


def _attempt_ended(job: Job, attempt: int, retry_in: float | None, max_retries: int) -> AttemptEnded:
    """What Retries needs: the ledger's count of retries, and a delay or none left."""
    options = {"retries": attempt - 1, "max_retries": max_retries if retry_in is not None else 0}
    delay = None if retry_in is None else int(retry_in * 1000)
    return AttemptEnded(f"job {job.id}, attempt {attempt} ended", delay, options)


def redeliver(reason: str) -> AttemptEnded:
    """For when the ledger cannot be reached: deliver the message again, whatever its count says."""
    return AttemptEnded(reason, int(OUTAGE_DELAY * 1000), {"max_retries": None})
