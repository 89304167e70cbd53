"""What every hook does with what it has understood: a message is accepted, a status applied, the rest kept for inspection.

Each item stands for itself: one that cannot be stored never drops the others of its request. Only a database that is down
fails the whole (503), so that the channel sends it again; what was accepted by then is recognised.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

from shared import db
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.inbound import DeliveryStatus, InboundMessage, MalformedItem
from shared.errors import InvalidPayload, ServiceDown
from shared.payloads import MAX_CONTENT
from shared.queue_service import QueueService
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Bytes of what is kept for inspection.
MAX_KEPT = 32_000
#: Names of members whose values are secrets (Evolution sends its key along).
_SECRET = ("apikey", "token", "secret", "authorization")

_service = QueueService()

_REJECT = "insert into inbound_reject (source, reason, subject, payload) values (%s, %s, %s, %s)"


def count(hook: str, outcome: str) -> None:
    """Counts what became of an item or a request, for /metrics."""
    metrics.increment("inbound", hook, outcome)


def accept(hook: str, chatbot_id: int, message: InboundMessage) -> str:
    """Stores and enqueues; "accepted", or "duplicate" for one that was there. Raises InvalidPayload, ServiceDown."""
    limit = MAX_CONTENT[hook]
    metadata = {**message.metadata, **({"truncated": True} if len(message.content) > limit else {})}
    given = {
        "chatbot_id": chatbot_id,
        "channel": hook,
        "external_user_id": message.user,
        "content": message.content[:limit],
        "external_id": message.external_id,
        "metadata": metadata,
    }
    return "accepted" if _service.accept_message(given).new else "duplicate"


def apply(chatbot_id: int, told: DeliveryStatus) -> str:
    """Applies a status: "status_applied", "status_stale" or "status_parked". Raises ServiceDown."""
    found = apply_delivery_status(
        told.status,
        provider_id=told.provider_id,
        message_id=told.message_id,
        error=told.error,
        chatbot_id=chatbot_id,
    )
    return f"status_{found}"


def item(hook: str, subject: str, raw: Any, work: Callable[[], str]) -> str:
    """Does one item's work, counts it, and keeps what fails; returns the outcome. Raises ServiceDown only."""
    try:
        outcome = work()
    except ServiceDown:
        raise
    except (MalformedItem, InvalidPayload) as problem:
        outcome = reject(hook, str(problem), subject, raw)
    except Exception as problem:
        if db.is_outage(problem):
            raise ServiceDown("postgres does not answer") from problem
        log.exception("an inbound item failed", extra={"hook": hook, "subject": subject})
        outcome = reject(hook, f"failed with {type(problem).__name__}; the log says more", subject, raw)
    count(hook, outcome)
    return outcome


def reject(hook: str, reason: str, subject: str | None, raw: Any) -> str:
    """Keeps something for inspection, without its secrets; returns "rejected"."""
    log.warning("inbound rejected", extra={"hook": hook, "subject": subject, "reason": reason})
    kept = _kept(raw)[:MAX_KEPT]
    db.retry_on_outage(lambda: db.rows(_REJECT, [hook, reason, subject, kept]), db.WEB_RETRY_SECONDS)
    return "rejected"


def fits(raw: Any) -> bool:
    """Whether `reject` keeps it whole."""
    return len(_kept(raw)) <= MAX_KEPT


def _kept(raw: Any) -> str:
    return json.dumps(_without_secrets(raw))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "(removed)" if any(word in name.lower() for word in _SECRET) else _without_secrets(item)
            for name, item in value.items()
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def body(hook: str, wanted: str) -> dict[str, Any]:
    """The request's JSON object. Raises BadRequest, which says what was wrong, and `wanted`."""
    try:
        said = request.get_json(force=True)
        if not isinstance(said, dict):
            raise BadRequest(f"the body is no object; want {wanted}")
    except BadRequest:
        count(hook, "malformed")
        raise
    return said
