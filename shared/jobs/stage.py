"""A stage: its actors, and the wrapper around their function. The only place that maps errors to the ledger.

One delivery of a job's id: claim the job, run the stage's function, record the outcome. (Dramatiq swallows ordinary
exceptions of middleware, so what must not fail is here.) The waiting between attempts is Dramatiq's Retries middleware; the
wrapper tells it, by the message's options, what the ledger decided.

    the function        the job
    returns             is completed (its last call was a CompletionStatement)
    raises Snooze       is delayed, at no attempt's cost, until it is too old
    PermanentError      fails at once
    JobParked           is parked by the stage itself, at no attempt's cost, and is released by whoever it waits for
    anything else       is retried by the stage's policy, then fails

A stage that only talks to PostgreSQL (queues.UNCLAIMED) does its work and completes its job in one statement, without a claim.
If that statement fails, nothing has changed: the job is then claimed and the function runs again, so that the failure is recorded
on the job. A job that a worker died with is claimed in any stage, and runs alone in a process of its own (isolation.py), so that
a second death is counted on it and on no neighbour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import dramatiq

from shared import db, payloads, queues
from shared.broker import rate_limits
from shared.broker.enqueue import enqueue
from shared.db import sql
from shared.errors import JobParked, LeaseLost, OutcomeUnknown, PermanentError, ServiceDown, Snooze, WaitsForService
from shared.jobs import ledger, pauses, worker_process
from shared.jobs.completion import report_completed
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.isolation import Isolation, ProcessDied, begin_alone, lost_alone
from shared.jobs.ledger import ClaimStatement, Job, NotClaimed, leases
from shared.jobs.outcome import (
    OUTAGE_DELAY,
    AttemptEnded,
    FailureDetails,
    details_of_problem,
    record_failure,
    redeliver,
    report_parked,
    snooze_unclaimed,
)
from shared.jobs.retry_policy import RetryPolicy
from shared.queues import Queue
from shared.telemetry.logs import log_context
from shared.telemetry.timings import Timings

log = logging.getLogger(__name__)

#: Processes that die with a job before it counts as the cause: one among others, the next two alone.
POISON_AFTER = 3

#: The stages that this process has imported.
STAGES: dict[Queue, Stage] = {}

isolation = Isolation()

#: A stage's work. It ends with a CompletionStatement, which writes results, the job's end and what follows.
Work = Callable[[Job], None]


@dataclass(frozen=True)
class Stage:
    """What a stage's decorator said of it. Called with a job, it does the stage's work."""

    queue: Queue
    work: Work
    claim: ClaimStatement
    retry: RetryPolicy
    #: SQL that ends a failed attempt; what it writes besides is the stage's business.
    attempt_failed: sql.Query
    dead_letter: DeadLetter
    failure_details: FailureDetails = details_of_problem
    #: Whether `work` asks the rate limits itself, at the last moment before it acts.
    limits_itself: bool = False
    #: The level of the log line of a job that failed by somebody outside. ERROR goes to Sentry as well.
    outside_level: int = logging.WARNING

    def __call__(self, job: Job) -> None:
        self.work(job)

    def run(self, job_id: int) -> None:
        """One delivery of a job's id. Raises what Dramatiq's Retries needs to bring it back, or to call the dead letter."""
        try:
            if self.queue in queues.UNCLAIMED and not pauses.current.is_queue_paused(self.queue):
                self._execute(Job(job_id, 0, self.queue), Timings())
            else:
                self._run_claimed(job_id, Timings())
        except AttemptEnded as ended:
            ended.tell_dramatiq()
            raise

    def execute_alone(self, job: Job) -> AttemptEnded | None:
        """Executes a suspect in a process of its own; returns what its worker has to tell Dramatiq."""
        try:
            begin_alone(job)
            self._execute(job, Timings(), is_admitted=self.queue in queues.UNCLAIMED)
        except AttemptEnded as ended:
            return ended
        except LeaseLost as error:
            log.warning("result_dropped", extra={"reason": str(error)})
        return None

    def _execute(self, job: Job, timings: Timings, is_admitted: bool = False) -> None:
        with log_context(**job.log_ids()):
            try:
                if not is_admitted and not self.limits_itself:
                    rate_limits.admit(job.id, self.queue, job.priority)
                self._attempt(job)
            except LeaseLost as error:
                log.warning("result_dropped", extra={"reason": str(error)})
            except JobParked as parked:
                report_parked(job, parked, timings)
            except Exception as error:
                if db.is_outage(error):
                    error = WaitsForService(OUTAGE_DELAY, str(db.service_down(error)))
                if job.claim:
                    record_failure(self, job, error, timings)
                elif isinstance(error, WaitsForService):
                    raise redeliver(f"job {job.id} waits for {error}") from None
                elif not isinstance(error, Snooze):
                    self._run_claimed(job.id, timings)
                elif too_old := snooze_unclaimed(self.retry, job, error):
                    self._run_claimed(job.id, timings, too_old)
            else:
                report_completed(job, timings)

    def _attempt(self, job: Job) -> None:
        if job.lost_claims >= POISON_AFTER:
            raise _poison(job.lost_claims)
        if job.claim and self.queue in queues.UNCLAIMED:
            payloads.read(self.queue, job.payload)  # the statement only says that it found nothing to do
        self.work(job)

    def _run_claimed(self, job_id: int, timings: Timings, failure: Exception | None = None) -> None:
        """Claims the job and runs it, or records what it failed for."""
        try:
            job = self.claim(job_id)
        except ServiceDown:
            raise redeliver(f"job {job_id} waits for PostgreSQL") from None
        except Exception as problem:
            if not db.is_passing(problem):
                raise
            # Cancelled, or lost a deadlock, as often as it was repeated: nothing has begun, and nobody has a mistake to look for.
            log.warning("job_not_claimed", extra={"job": job_id, "queue": self.queue, "error": db.word_for(problem)})
            raise redeliver(f"job {job_id} could not be claimed") from None
        if isinstance(job, NotClaimed):
            _nothing_to_do(job_id, job)
            return
        try:
            timings.lap("claim")
            if failure is not None:
                record_failure(self, job, failure, timings)
            elif pause_id := pauses.current.find(job):
                self._park(job, pause_id, timings)
            elif 0 < job.lost_claims < POISON_AFTER:
                self._isolate(job, timings)
            else:
                self._execute(job, timings, is_admitted=self.queue in queues.UNCLAIMED)
        except AttemptEnded:
            raise
        except BaseException:
            leases.abandon(job.id, job.claim)
            raise
        finally:
            leases.drop(job.id, job.claim)  # nobody works on it any more, whatever became of it

    def _park(self, job: Job, pause_id: int, timings: Timings) -> None:
        try:
            pauses.park(job, pause_id)
        except JobParked as parked:
            report_parked(job, parked, timings)
        except Snooze as lifted:
            record_failure(self, job, lifted, timings)
        except LeaseLost as error:
            log.warning("result_dropped", extra={"reason": str(error)})

    def _isolate(self, job: Job, timings: Timings) -> None:
        """Has a suspect executed in a process of its own. That process records the outcome, unless it dies."""
        try:
            ended = isolation.run(job)
        except ProcessDied as death:
            log.error("isolated_process_died", extra={"job": job.id, "queue": self.queue})
            self._record_death(job, death, timings)
        except Exception as error:  # a Snooze: others run; or none can be started
            record_failure(self, job, error, timings)
        else:
            if ended is not None:
                raise ended

    def _record_death(self, job: Job, death: ProcessDied, timings: Timings) -> None:
        try:
            lost = lost_alone(job)
        except LeaseLost as error:
            log.warning("failure_dropped", extra={"reason": str(error)})
            return
        if lost >= POISON_AFTER:
            record_failure(self, job, _poison(lost), timings)
        else:
            record_failure(self, job, OutcomeUnknown(str(death)) if self.claim.at_most_once else death, timings)


def _poison(lost: int) -> PermanentError:
    return PermanentError(f"poison: its worker vanished {lost} times while working on it; given up")


def _nothing_to_do(job_id: int, why: NotClaimed) -> None:
    log.debug("nothing_to_do", extra={"job": job_id, "state": why.state})
    if why.ticket is not None:
        enqueue([why.ticket])


def actor(
    queue: Queue,
    *,
    max_retries: int,
    min_backoff: int,
    on_retry_exhausted: DeadLetter,
    retry: RetryPolicy | None = None,
    claim: sql.Query = ledger.queries["claim"],
    attempt_failed: sql.Query = ledger.queries["attempt_failed"],
    failure_details: FailureDetails = details_of_problem,
    at_most_once: bool = False,
    durable_claims: bool = False,
    limits_itself: bool = False,
    outside_level: int = logging.WARNING,
) -> Callable[[Work], Stage]:
    """Makes a function the Dramatiq actor of a queue: one actor for each lane, and the dead letter that follows them.

    `max_retries` and `min_backoff` (ms) are Dramatiq's, and say the stage's retry policy where `retry` does not.
    `failure_details`: what `attempt_failed` keeps besides the error.
    `at_most_once`: a lost worker or answer leaves the outcome unknown, and the stage decides whether to act again.
    `outside_level`: whose fault it is that somebody outside fails; WARNING, if it is not ours and not a customer's own.
    `durable_claims`: somebody outside sees what the stage does, so a crash of PostgreSQL must not forget that it began.
    """
    policy = retry or RetryPolicy.doubling(max_retries, min_backoff)
    statement = ClaimStatement(queue, claim, at_most_once, durable_claims)

    def decorate(work: Work) -> Stage:
        stage = STAGES[queue] = Stage(
            queue, work, statement, policy, attempt_failed, on_retry_exhausted, failure_details, limits_itself, outside_level
        )
        isolation.modules.add(work.__module__)
        _declare_actors(stage, max_retries, min_backoff)
        return stage

    return decorate


def _declare_actors(stage: Stage, max_retries: int, min_backoff: int) -> None:
    """One for each lane of the stage's queue, and the dead letter that follows them."""
    broker = worker_process.boot()
    dead_letter_name = stage.dead_letter.declare(stage.queue, broker)
    for priority, lane in queues.lanes(stage.queue).items():
        dramatiq.actor(
            actor_name=queues.actor_name(lane),
            queue_name=lane,
            priority=priority,
            max_retries=max_retries,
            min_backoff=min_backoff,
            on_retry_exhausted=dead_letter_name,
            broker=broker,
        )(stage.run)
