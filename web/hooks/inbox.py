"""Stores what hooks parsed: a message is accepted, a status applied, a session's state recorded, the rest kept for inspection.

Each item stands for itself: one that cannot be stored never drops the others of its request. Only a database that is down
fails the whole (503), so that the channel sends it again; what was accepted by then is recognised.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

from shared import db
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.inbound import (
    Account,
    DeliveryStatus,
    InboundBatch,
    InboundItem,
    InboundMessage,
    MalformedItem,
    SessionState,
)
from shared.channels.registry import Channel
from shared.channels.whatsapp_qr import session
from shared.errors import InvalidPayload, ServiceDown
from shared.models import InboundReject
from shared.queue_service import QueueService
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Why a batch is rejected that may be stored later (web/hooks/replay.py).
UNKNOWN_ACCOUNT = "No active number or session has this name; connect it, then replay."
#: Parts of the names whose values are secrets (Evolution sends its key along).
_SECRET = ("apikey", "token", "secret", "authorization")

_service = QueueService()


def count(channel: Channel, outcome: str) -> None:
    """Counts what became of an item or a request, for /metrics."""
    metrics.increment("inbound", channel.name, outcome)


def read_body(channel: Channel, example: str) -> dict[str, Any]:
    """The request's JSON object. Raises BadRequest, which says what is wrong."""
    try:
        body = request.get_json(force=True)
        if not isinstance(body, dict):
            raise BadRequest(f"The body must be a JSON object like {example}.")
    except BadRequest:
        count(channel, "malformed")
        raise
    return body


def store(channel: Channel, account: Account | None, batch: InboundBatch) -> None:
    """Stores each item of a batch, or keeps it whole if nobody has its account. Raises ServiceDown only."""
    if account is None:
        _reject(channel, batch.account_name, UNKNOWN_ACCOUNT, batch.raw)
        count(channel, f"unknown_{channel.account_noun}")
        return
    for item in batch.items:
        count(channel, _store_or_reject(channel, account, item))


def _store_or_reject(channel: Channel, account: Account, item: InboundItem) -> str:
    try:
        return _store(channel, account, item)
    except ServiceDown:
        raise
    except InvalidPayload as problem:
        reason = str(problem)
    except Exception as problem:
        if db.is_outage(problem):
            raise db.service_down(problem) from problem
        log.exception("inbound_item_failed", extra={"hook": channel.name, "subject": account.name})
        reason = f"Storing it failed with {type(problem).__name__}; the log has the traceback."
    return _reject(channel, account.name, reason, item.raw)


def _store(channel: Channel, account: Account, item: InboundItem) -> str:
    """Returns the outcome as /metrics counts it."""
    match item:
        case InboundMessage():
            return _accept_message(channel, account, item)
        case DeliveryStatus():
            return _apply_status(account, item)
        case SessionState():  # only QR sessions have one
            recorded = db.retry_on_outage(partial(session.record_state, account.id, item), db.WEB_RETRY_SECONDS)
            return "session_noted" if recorded else "session_stale"
        case MalformedItem():
            return _reject(channel, account.name, item.reason, item.raw)
    return "ignored"


def _accept_message(channel: Channel, account: Account, message: InboundMessage) -> str:
    truncated = {"truncated": True} if len(message.content) > channel.max_content else {}
    accepted = _service.accept_message(
        {
            "chatbot_id": account.chatbot_id,
            "channel": channel.name,
            "external_user_id": message.external_user_id,
            "content": message.content[: channel.max_content],
            "external_id": message.external_id,
            "metadata": {**message.metadata, **truncated},
        }
    )
    return "accepted" if accepted.new else "duplicate"


def _apply_status(account: Account, status: DeliveryStatus) -> str:
    outcome = apply_delivery_status(
        status.status,
        provider_id=status.provider_id,
        message_id=status.message_id,
        error=status.error,
        chatbot_id=account.chatbot_id,
    )
    return f"status_{outcome}"


def _reject(channel: Channel, subject: str, reason: str, raw: Any) -> str:
    """Keeps something for a week, whole but for its secrets (scripts/jobs rejects)."""
    log.warning("inbound_rejected", extra={"hook": channel.name, "subject": subject, "reason": reason})
    payload = json.dumps(_without_secrets(raw))
    reject = InboundReject(source=channel.name, reason=reason, subject=subject or None, payload=payload)
    db.retry_on_outage(partial(_insert, reject), db.WEB_RETRY_SECONDS)
    return "rejected"


def _insert(reject: InboundReject) -> None:
    with db.connection():
        reject.save(force_insert=True)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "(removed)" if any(word in name.lower() for word in _SECRET) else _without_secrets(inner)
            for name, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
