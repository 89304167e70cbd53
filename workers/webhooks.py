"""webhook-delivery: tells a customer's endpoint of an event, signed. Only 2xx is success; redirects are not followed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn

from shared import db, http, payloads
from shared.broker import rate_limits
from shared.broker.thread_pool import ThreadPool
from shared.config import settings
from shared.db import sql
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, PermanentRefusal, Snooze
from shared.http.bulkhead import Bulkhead, Room, customer_room
from shared.http.urls import MAX_URL
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.payloads import strip_invalid
from shared.queues import BEHIND, Queue
from shared.setting_types import parse_rate
from shared.webhooks import failing, gone, notices, signing
from shared.webhooks.attempts import Attempt
from shared.webhooks.triggers import Trigger

#: Seconds to leave an endpoint alone that answers 429 and does not say for how long.
DEFAULT_THROTTLE = 10.0
#: The share of its age that a job waits at least for such an endpoint: it is tried O(log age) times.
THROTTLE_OF_AGE = 0.1
_REDIRECTS = range(300, 400)

log = logging.getLogger(__name__)

queries = sql.load(__file__)

record_delivery = CompletionStatement(queries["record_delivery"])
drop_event = CompletionStatement(queries["drop_event"])
hold_event = CompletionStatement(queries["hold_event"])

_bulkhead = Bulkhead(ThreadPool.of(worker_process.boot(), Queue.WEBHOOKS))


class EndpointRefused(OutsideFailure):
    """The endpoint answered, and not with 2xx. `retry_after`: seconds for which it wants to be left alone."""

    def __init__(self, answer: http.Response, retry_after: float | None = None) -> None:
        super().__init__(f"the endpoint answered HTTP {answer.status}", answer.excerpt())
        self.retry_after = retry_after


class EndpointBusy(EndpointRefused, PermanentRefusal):
    """It wants to be left alone for longer than its job may wait."""


class EndpointGone(EndpointRefused, PermanentRefusal):
    """410: the endpoint is gone for good, and says so."""


class EndpointMoved(EndpointRefused):
    """A redirect. Where it leads is for the customer only: an address may have a secret in it."""

    def __init__(self, answer: http.Response) -> None:
        super().__init__(answer)
        self.args = (f"the endpoint answered HTTP {answer.status}, and redirects are not followed",)
        self.words = f"it leads to {strip_invalid(answer.headers.get('Location', 'nowhere'))[:MAX_URL]}"


class EventFailed(DeadLetter):
    """An event that failed for good; after a 410 its endpoint is switched off, and its business is told."""

    def write(self, job_id: int) -> Any:
        """Its rows, the end of the job and the notices in one transaction."""
        with db.transaction():
            written = queries["dead_letter"].row(job_id=job_id) or {"tickets": None, "disabled_id": None}
            if written["disabled_id"] is not None:
                notices.add(written["disabled_id"], "disabled", datetime.now(UTC))
        if written["disabled_id"] is not None:
            failing.log_end(written["disabled_id"], written["customer_id"], "gone")
        return written["tickets"]


def _failure_details(job: Job, problem: Exception) -> Mapping[str, Any]:
    """What `attempt_failed` keeps: of the call, or of an attempt that came to none; and when the event may be tried again."""
    attempt = Attempt.of(job)
    return {
        **(getattr(problem, "details", None) or attempt.failed_row(problem)),
        "schedule": _schedule(job),
        "may_follow": attempt.trigger is not Trigger.TEST,
        "retry_after": getattr(problem, "retry_after", None),
    }


@actor(
    Queue.WEBHOOKS,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=EventFailed(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    failure_details=_failure_details,
    durable_claims=True,
    outside_level=logging.INFO,  # a customer's endpoint is theirs to fix; who wants to know counts attempts
)
def deliver(job: Job) -> None:
    """POSTs an event: {"id", "type", "timestamp", "data"}."""
    payloads.read(Queue.WEBHOOKS, job.payload)
    event = job.loaded
    if event is None or not event["active"] or event["url"] is None:
        _drop(job)
        return
    attempt = Attempt.of(job)
    if event["paused"] and attempt.trigger is not Trigger.TEST:
        hold_event(job, {"webhook_event_id": job.webhook_event_id})
        return
    gone.watch()
    try:
        rooms = Room("the endpoint", event["endpoint_id"]), customer_room(job.customer_id)
        with _bulkhead.slot(*rooms, age=job.age, leaves_room=job.priority == BEHIND):
            _admit(job, event)
            attempt.answer = _post(event, attempt)
        _check(job, attempt, attempt.answer)
    except http.CallCancelled:
        _drop(job)
    except OutsideFailure as problem:
        problem.details = attempt.failed_row(problem)  # type: ignore[attr-defined]  # for _failure_details
        if attempt.trigger.is_single:
            raise _final(problem) from problem
        raise
    else:
        record_delivery(job, {"id": event["id"], **attempt.row()})


def _admit(job: Job, event: Mapping[str, Any]) -> None:
    """Lets it through its endpoint's own rate limit. Raises RateLimited."""
    if event["rate_limit"] and (rate := parse_rate(event["rate_limit"])):
        rate_limits.admit_within(job.id, job.priority, {f"endpoint {event['endpoint_id']}": rate})


def _schedule(job: Job) -> Sequence[int]:
    """Seconds between the attempts that follow when the job has failed: its endpoint's, or the platform's."""
    own = job.loaded["redelivery_schedule"] if job.loaded else None
    return settings().redelivery_schedule if own is None else own


def _check(job: Job, attempt: Attempt, answer: http.Response) -> None:
    """Raises what an answer means that is no 2xx."""
    if answer.status == HTTPStatus.GONE:
        raise EndpointGone(answer)
    if answer.status in _REDIRECTS:
        raise EndpointMoved(answer)
    if answer.asks_to_wait:
        _throttle(job, attempt, answer)
    if not answer.ok:
        raise EndpointRefused(answer)


def _throttle(job: Job, attempt: Attempt, answer: http.Response) -> NoReturn:
    """The job waits as long as the endpoint wants, and longer the older it is: else a burst would come back each second."""
    wait, max_age = answer.retry_after(DEFAULT_THROTTLE), settings().job_max_age
    if wait > max_age - job.age and _schedule(job):
        raise EndpointBusy(answer, wait)
    wait = max(min(wait, max_age), job.age * THROTTLE_OF_AGE)  # a header may ask for more than PostgreSQL can count
    later = Snooze(wait, f"the endpoint asks us to slow down (HTTP {answer.status})")
    details = db.json(attempt.failed_row(later))
    queries["record_throttle"].rows(job_id=job.id, claim=job.claim, wait=later.delay, error=str(later), details=details)
    raise later


def _final(problem: OutsideFailure) -> PermanentRefusal:
    """The same, of an attempt that no other follows in this job."""
    if isinstance(problem, PermanentRefusal):
        return problem
    final = PermanentRefusal(f"{type(problem).__name__}: {problem}", problem.words)
    vars(final).update({name: value for name, value in vars(problem).items() if name in ("details", "retry_after")})
    return final


def _drop(job: Job) -> None:
    """The endpoint was deleted, and its events with it, or switched off: nobody's mistake."""
    log.info("delivery_dropped", extra={"reason": "the endpoint is gone or switched off", "customer": job.customer_id})
    drop_event(job, {"webhook_event_id": job.webhook_event_id})


def _post(event: dict[str, Any], attempt: Attempt) -> http.Response:
    conf = settings()
    envelope = {
        "id": signing.event_id(event["id"]),
        "type": event["event"],
        "timestamp": event["created_at"],
        "data": event["payload"],
    }
    body = json.dumps(envelope, separators=(",", ":")).encode()
    whose = f"webhook event {event['id']}'s endpoint"
    secrets = [decrypt(secret, whose) for secret in (event["secret"], *event["old_secrets"])]
    own = json.loads(decrypt(event["headers"], whose)) if event["headers"] else {}
    # PostgreSQL's time: receivers refuse what was signed by a clock that is minutes off, and a worker's may be.
    signed_at = datetime.fromtimestamp(event["claimed_at"], UTC)
    headers = signing.headers(secrets, event["id"], event["event"], attempt.number, body, signed_at)
    return http.post(
        event["url"],
        body,
        {**own, **headers},
        conf.http_timeout,
        allow_private=conf.webhooks_to_private,
        needs_body=False,  # the status is the answer
        key=("endpoint", event["endpoint_id"]),
        phases=attempt.phases,
    )
