"""webhook-delivery: tells a customer's endpoint of an event, signed. Only 2xx is success; redirects are not followed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from shared import db, http, payloads
from shared.broker.thread_pool import ThreadPool
from shared.config import settings
from shared.db import sql
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, Snooze
from shared.http.bulkhead import Bulkhead, Room, customer_room
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue
from shared.webhooks import gone, signing
from shared.webhooks.attempts import Attempt

#: Seconds to leave an endpoint alone that answers 429 and does not say for how long.
DEFAULT_THROTTLE = 10.0

log = logging.getLogger(__name__)

queries = sql.load(__file__)

record_delivery = CompletionStatement(queries["record_delivery"])
drop_event = CompletionStatement(queries["drop_event"])

_bulkhead = Bulkhead(ThreadPool.of(worker_process.boot(), Queue.WEBHOOKS))


class EndpointRefused(OutsideFailure):
    """The endpoint answered, and not with 2xx."""

    def __init__(self, answer: http.Response) -> None:
        super().__init__(f"the endpoint answered HTTP {answer.status}", answer.excerpt())


def _failure_details(job: Job, problem: Exception) -> Mapping[str, Any]:
    """What `attempt_failed` keeps: of the call, or of an attempt that came to none."""
    return getattr(problem, "details", None) or Attempt.of(job).failed_row(problem)


@actor(
    Queue.WEBHOOKS,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    failure_details=_failure_details,
    durable_claims=True,
    outside_level=logging.INFO,  # a customer's endpoint is theirs to mend; who wants to know counts attempts
)
def deliver(job: Job) -> None:
    """POSTs an event: {"id", "type", "timestamp", "data"}."""
    payloads.read(Queue.WEBHOOKS, job.payload)
    event = job.loaded
    if event is None or not event["active"]:
        _drop(job)
        return
    gone.watch()
    attempt = Attempt.of(job)
    try:
        with _bulkhead.slot(Room("the endpoint", event["endpoint_id"]), customer_room(job.customer_id), age=job.age):
            attempt.answer = _post(event, attempt)
        _check(job, attempt, attempt.answer)
    except http.CallCancelled:
        _drop(job)
    except OutsideFailure as problem:
        problem.details = attempt.failed_row(problem)  # type: ignore[attr-defined]  # for _failure_details
        raise
    else:
        record_delivery(job, {"id": event["id"], **attempt.row()})


def _check(job: Job, attempt: Attempt, answer: http.Response) -> None:
    """Raises what an answer means that is no 2xx."""
    if answer.status == 429:
        throttled = Snooze(answer.retry_after(DEFAULT_THROTTLE), "the endpoint asks us to slow down (HTTP 429)")
        queries["record_throttle"].rows(
            job_id=job.id,
            claim=job.claim,
            wait=throttled.delay,
            error=str(throttled),
            details=db.json(attempt.failed_row(throttled)),
        )
        raise throttled
    if not answer.ok:
        raise EndpointRefused(answer)


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
    secret = decrypt(event["secret"], f"webhook event {event['id']}'s endpoint")
    headers = signing.headers(secret, event["id"], event["event"], attempt.number, body)
    return http.post(
        event["url"],
        body,
        headers,
        conf.http_timeout,
        allow_private=conf.webhooks_to_private,
        needs_body=False,  # the status is the answer
        key=("endpoint", event["endpoint_id"]),
        phases=attempt.phases,
    )
