"""webhook-delivery: tells a customer's endpoint of an event, signed. Only 2xx is success; redirects are not followed."""

from __future__ import annotations

import json
from typing import Any

from shared import http, payloads
from shared.broker.thread_pool import ThreadPool
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import PermanentError, Snooze
from shared.http.bulkhead import Bulkhead
from shared.jobs import worker_process
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming
from shared.jobs.stage import stage
from shared.queues import Queue
from shared.webhooks import signing

#: Seconds to leave an endpoint alone that answers 429 and does not say for how long.
DEFAULT_THROTTLE = 10.0

_bulkhead = Bulkhead(ThreadPool.of(worker_process.boot()))

claim = Claiming(
    Queue.WEBHOOKS,
    """
    select v.id, v.endpoint_id, v.event, v.payload, v.status, e.url, e.secret, e.active,
        to_char(v.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at
    from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id where v.id = mine.webhook_event_id
    """,
)

_delivered = Ending(
    "webhook_delivered",
    """
    with mine as materialized (
        select * from jsonb_to_recordset($1) as a(n int, job_id bigint, claim int, id bigint, attempt int, response_status int)
    ), told as (
        update webhook_event v set status = 'DELIVERED', attempts = mine.attempt, response_status = mine.response_status,
            error = null, delivered_at = clock_timestamp()
        from mine where v.id = mine.id and v.status = 'PENDING'
    )
    select jsonb_agg(n) as done, job_finish(jsonb_object_agg(job_id, claim)) as tickets
    from mine
    """,
)


class EndpointRefused(Exception):
    """The endpoint answered, and not with 2xx."""

    def __init__(self, answer: http.Response) -> None:
        super().__init__(f"the endpoint answered HTTP {answer.status}: {answer.excerpt()}")
        self.response_status = answer.status


def deliver(claimed: Claim) -> None:
    """POSTs an event: {"id", "type", "timestamp", "data"}."""
    payloads.read(Queue.WEBHOOKS, claimed.payload)
    event = claimed.loaded
    if event is None or not event["active"]:
        raise PermanentError("the endpoint is gone or switched off")
    with _bulkhead.slot(event["endpoint_id"], claimed.age):
        answer = _post(event, claimed.attempt)
    if answer.status == 429:
        raise Snooze(answer.retry_after(DEFAULT_THROTTLE), "the endpoint asks us to slow down (HTTP 429)")
    if not answer.ok:
        raise EndpointRefused(answer)
    _delivered(claimed, {"id": event["id"], "attempt": claimed.attempt, "response_status": answer.status})


def _post(event: dict[str, Any], attempt: int) -> http.Response:
    conf = settings()
    told = {
        "id": signing.event_id(event["id"]),
        "type": event["event"],
        "timestamp": event["created_at"],
        "data": event["payload"],
    }
    body = json.dumps(told, separators=(",", ":")).encode()
    secret = decrypt(event["secret"], f"webhook event {event['id']}'s endpoint")
    headers = signing.headers(secret, event["id"], event["event"], attempt, body)
    return http.post(event["url"], body, headers, conf.http_timeout, allow_private=conf.webhooks_to_private)


actors = stage(claim, deliver)
