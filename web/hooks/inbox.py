"""Stores what hooks parsed: a message is accepted, a status applied, a session's state recorded, the rest kept for inspection.

Each item stands for itself: one that cannot be stored never drops the others of its request. Only a database that is down
fails the whole (503), so that the channel sends it again; what was accepted by then is recognised.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from typing import Any, cast

from flask import request
from werkzeug.exceptions import BadRequest

from shared import db
from shared.channels import changes, contacts, health, ownership, words
from shared.channels.delivery_status import StatusUpdate, apply_delivery_statuses
from shared.channels.inbound import (
    DeliveryStatus,
    IdentityLearnt,
    InboundAccount,
    InboundBatch,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    MalformedItem,
    OwnerChange,
    ReportedError,
    SessionState,
)
from shared.channels.kinds import EFFECTS, Author, Effect, Kind
from shared.channels.outcomes import Reason
from shared.channels.registry import Channel
from shared.channels.whatsapp_cloud import window
from shared.channels.whatsapp_qr import session
from shared.config import settings
from shared.errors import InvalidPayload, ServiceDown
from shared.models import InboundReject
from shared.payloads import without_middle
from shared.queue_service import QueueService
from shared.telemetry import metrics
from web.hooks.inline_files import NO_FILES, Files, keep_inline, release_inline
from web.json_bodies import SafeRequest

log = logging.getLogger(__name__)

#: Why a batch is rejected that may be stored later (web/hooks/replay.py).
UNKNOWN_ACCOUNT = "No active number or session has this name; connect it, then replay."
#: Items of one statement: a few milliseconds of it.
PAGE = 100
#: Parts of the names whose values are secrets, without what joins words (Evolution sends its key along).
_SECRET = (
    "apikey",
    "token",
    "secret",
    "authorization",
    "password",
    "passwd",
    "jwt",
    "hash",
    "hmac",
    "signature",
    "cookie",
    "credential",
)
#: The same in a URL's query, where links to media carry their keys.
_SECRET_IN_URL = re.compile(rf"([?&][^=&\s]*(?:api[-_]?key|{'|'.join(_SECRET[1:])})[^=&\s]*=)[^&#\s]*", re.I)

_service = QueueService()


def count(channel: Channel, outcome: str) -> None:
    """Counts what became of an item or a request, for /metrics."""
    metrics.increment("inbound", channel.name, outcome)


def read_body(channel: Channel, example: str) -> dict[str, Any]:
    """The request's JSON object. Raises BadRequest, which says what is wrong."""
    try:
        body = cast(SafeRequest, request).get_outsiders_json()
        if not isinstance(body, dict):
            raise BadRequest(f"The body must be a JSON object like {example}.")
    except BadRequest:
        count(channel, "malformed")
        raise
    return body


def store(channel: Channel, account: InboundAccount | None, batch: InboundBatch, files: Files = NO_FILES) -> None:
    """Stores each item of a batch, or keeps it whole if nobody has its account. Raises ServiceDown only.

    `files`: those that were taken out of the body (web/hooks/bodies.py).
    """
    if account is None:
        _reject(channel, batch.account_name, UNKNOWN_ACCOUNT, [batch.raw])
        count(channel, f"unknown_{channel.account_noun}")
        return
    for page in _pages(batch.items):
        for outcome in _store_or_reject(channel, account, page, files):
            count(channel, outcome)


def _pages(items: Sequence[InboundItem]) -> Iterator[list[InboundItem]]:
    """Neighbours of one kind, in their order: a body of thousands of items takes some statements, not thousands."""
    for _, alike in groupby(items, key=type):
        while page := list(islice(alike, PAGE)):
            yield page


def _store_or_reject(channel: Channel, account: InboundAccount, items: list[InboundItem], files: Files) -> list[str]:
    """What became of each, as /metrics counts it."""
    try:
        return _store(channel, account, items, files)
    except ServiceDown:
        raise
    except Exception as problem:
        if db.is_passing(problem):
            raise db.service_down(problem) from problem
        if len(items) > 1:  # one of them, perhaps
            return [outcome for item in items for outcome in _store_or_reject(channel, account, [item], files)]
        log.exception("inbound_item_failed", extra={"hook": channel.name, "subject": account.name})
        reason = f"Storing it failed with {type(problem).__name__}; the log has the traceback."
    return _reject(channel, account.name, reason, [items[0].raw])


def _store(channel: Channel, account: InboundAccount, items: list[InboundItem], files: Files) -> list[str]:
    match items[0]:  # they are all of its kind
        case InboundMessage():
            return _accept_messages(channel, account, cast(list[InboundMessage], items), files)
        case IdentityLearnt():
            return [_learn(channel, account, item) for item in cast(list[IdentityLearnt], items)]
        case DeliveryStatus():
            return _apply_statuses(channel, account, cast(list[DeliveryStatus], items))
        case OwnerChange():
            return [_change_owner(channel, account, item) for item in cast(list[OwnerChange], items)]
        case SessionState():  # only QR sessions have one
            return [_record_state(account, item) for item in cast(list[SessionState], items)]
        case MalformedItem():
            return _reject_all(channel, account, cast(list[MalformedItem], items))
        case InboundEdit():
            return [_edit(channel, account, item, files) for item in cast(list[InboundEdit], items)]
        case InboundRevoke():
            return [f"revoke_{changes.revoke(channel, account, item)}" for item in cast(list[InboundRevoke], items)]
        case InboundReaction():
            return [f"reaction_{changes.react(channel, account, item)}" for item in cast(list[InboundReaction], items)]
        case ReportedError():
            return [_log_error(channel, account, item) for item in cast(list[ReportedError], items)]
    return ["ignored"] * len(items)


def _accept_messages(channel: Channel, account: InboundAccount, messages: list[InboundMessage], files: Files) -> list[str]:
    payloads = [_as_payload(channel, account, message, files) for message in messages]
    outcomes = []
    for message, payload, answer in zip(messages, payloads, _service.accept_messages(payloads), strict=True):
        if isinstance(answer, InvalidPayload):
            outcomes += _reject(channel, account.name, str(answer), [message.raw])
        elif answer.new:
            outcomes.append("accepted")
        else:
            outcomes.append("duplicate")
            release_inline(account, payload.get("media", []))
    return outcomes


def _edit(channel: Channel, account: InboundAccount, edited: InboundEdit, files: Files) -> str:
    """A correction of what has not come is that message, as it is now: what comes later with its id has come already."""
    outcome, message = changes.edit(channel, account, edited), edited.message
    if message is not None and edited.author is Author.CUSTOMER and outcome in (changes.UNKNOWN, changes.FOREIGN):
        if outcome == changes.UNKNOWN:
            message = replace(message, external_id=edited.original_id, edited_at=edited.sent_at)
        [outcome] = _accept_messages(channel, account, [message], files)
    elif message is not None and edited.author is Author.CUSTOMER and outcome == changes.KEPT:
        alone = replace(message, external_id=edited.original_id, edited_at=edited.sent_at, kind=Kind.TEXT, media=())
        changes.keep_as_message(_as_payload(channel, account, alone, files))
    return f"edit_{outcome}"


def _as_payload(channel: Channel, account: InboundAccount, message: InboundMessage, files: Files) -> dict[str, Any]:
    """As shared/payloads.py has it: what a message has none of is not in it, so that a plain text's stays small."""
    content = without_middle(message.content, channel.max_inbound)
    truncated = {"truncated": True} if content != message.content else {}
    extras = {
        "kind": message.kind if message.kind is not Kind.TEXT else None,
        "author": message.author if message.author is not Author.CUSTOMER else None,
        "may_answer": None if _may_answer(message) else False,
        "sent_at": message.sent_at,
        "edited_at": message.edited_at,
        "data": message.data or None,
        "media": [keep_inline(account, message.raw, one, files) for one in message.media] or None,
        "identities": [*message.identities] or None,
    }
    return {
        "chatbot_id": account.chatbot_id,
        "channel": channel.name,
        "external_user_id": message.external_user_id,
        "content": content,
        "external_id": message.external_id,
        "metadata": {**message.metadata, **(words.ids(message.data) if message.data else {}), **truncated},
        **{name: value for name, value in extras.items() if value is not None},
    }


def _may_answer(message: InboundMessage) -> bool:
    """A phone that was off for a week brings what was written meanwhile: nobody waits for the answer to that any more.

    A colleague's takes the conversation over instead, unless its gateway says itself that it is old.
    """
    now = message.reported_at or time.time()
    age = now - message.sent_at if message.sent_at is not None else 0.0
    if message.author is Author.COLLEAGUE:
        is_old = message.reported_at is not None and age > settings().answer_within
        return message.may_answer and message.kind is not Kind.SYSTEM and not is_old
    return message.may_answer and EFFECTS[message.kind] is Effect.ANSWERED and age <= settings().answer_within


def _learn(channel: Channel, account: InboundAccount, learnt: IdentityLearnt) -> str:
    for old, new in learnt.changes:
        contacts.learn_for_good(account.chatbot_id, channel.name, [old, new], moved_to=new)
    contacts.learn_for_good(account.chatbot_id, channel.name, learnt.names)
    return "identity_learnt"


def _apply_statuses(channel: Channel, account: InboundAccount, statuses: list[DeliveryStatus]) -> list[str]:
    updates = [
        StatusUpdate(
            status=status.status,
            provider_id=status.provider_id,
            message_id=status.message_id,
            error=status.error,
            error_code=status.error_code,
            chatbot_id=account.chatbot_id,
        )
        for status in statuses
    ]
    outcomes = apply_delivery_statuses(updates)
    for status, outcome in zip(statuses, outcomes, strict=True):
        if status.error_code == Reason.WINDOW_CLOSED:
            window.close(status.message_id, status.provider_id, account.chatbot_id)
        elif status.error_code in health.ACCOUNT_WIDE and outcome != "stale":  # Meta repeats its webhooks for a week
            health.report_failure(health.account_of(channel, account.chatbot_id, account.name), status)
    return [f"status_{outcome}" for outcome in outcomes]


def _record_state(account: InboundAccount, state: SessionState) -> str:
    recorded = db.retry_on_outage(partial(session.report, account, state), db.WEB_RETRY_SECONDS)
    return "session_noted" if recorded else "session_stale"


def _change_owner(channel: Channel, account: InboundAccount, change: OwnerChange) -> str:
    assign = partial(ownership.assign_as_provider_says, account.chatbot_id, channel.name, change.external_user_id, change.owner)
    db.retry_on_outage(assign, db.WEB_RETRY_SECONDS)
    return "owner_noted"


def _log_error(channel: Channel, account: InboundAccount, error: ReportedError) -> str:
    log.error("channel_reported_error", extra={"hook": channel.name, "subject": account.name, "code": error.code})
    return "reported_error"


def _reject_all(channel: Channel, account: InboundAccount, items: list[MalformedItem]) -> list[str]:
    raws_by_reason: dict[str, list[Any]] = {}
    for item in items:
        raws_by_reason.setdefault(item.reason, []).append(item.raw)
    return [outcome for reason, raws in raws_by_reason.items() for outcome in _reject(channel, account.name, reason, raws)]


def _reject(channel: Channel, subject: str, reason: str, raws: list[Any]) -> list[str]:
    """Keeps things for a week, whole but for their secrets (scripts/jobs rejects)."""
    log.warning("inbound_rejected", extra={"hook": channel.name, "subject": subject, "reason": reason, "items": len(raws)})
    rows = [
        {"source": channel.name, "reason": reason, "subject": subject or None, "payload": json.dumps(_without_secrets(raw))}
        for raw in raws
    ]
    db.retry_on_outage(lambda: db.rows(InboundReject.insert_many(rows)), db.WEB_RETRY_SECONDS)
    return ["rejected"] * len(raws)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "(removed)" if _is_secret(name) else _without_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return _SECRET_IN_URL.sub(r"\1(removed)", value) if isinstance(value, str) else value


def _is_secret(name: str) -> bool:
    letters = "".join(filter(str.isalnum, name.lower()))
    return any(word in letters for word in _SECRET)
