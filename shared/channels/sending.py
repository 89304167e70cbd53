"""What the send stages share: one message leaves at most once that we know of, and its book-keeping.

A send whose answer was not kept (a kill, a read timeout) is ambiguous: neither Meta nor the gateways have idempotency keys.
The next attempt first waits for a status update that settles it, then follows AMBIGUOUS_SEND.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peewee import DatabaseError

from shared import db, payloads
from shared.broker import rate_limits
from shared.channels import health
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.health import Account
from shared.channels.outcomes import AccountDown, Reason, Slowed, with_code
from shared.channels.registry import Channel, channel_of
from shared.channels.slow_start import SlowStart
from shared.config import settings
from shared.db import sql
from shared.errors import LeaseLost, OutcomeUnknown, OutsideFailure, PermanentError, PermanentRefusal, Snooze
from shared.http import ConnectFailed
from shared.jobs.completion import CompletionStatement
from shared.jobs.ledger import Job, insist
from shared.payloads import strip_invalid

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Attempts at recording that a message was sent.
RECORD_TRIES = 3
#: Seconds until a reply is looked at again whose conversation was merged into another while it was claimed.
MOVED_WAIT = 1.0

slow_start = SlowStart()
_record_send = CompletionStatement(queries["record_send"])
_end_superseded = CompletionStatement(queries["end_superseded"])


@dataclass(frozen=True)
class OutboundMessage:
    """A message ready to leave. `sender` is the channel's row: credentials and address; `parts_sent` have left already.

    `by_person`: someone of the business wrote it, and not a model.
    """

    message_id: int
    content: str
    status: str
    external_id: str | None
    recipient: str
    parts_sent: int
    by_person: bool
    sender: dict[str, Any]
    #: What it is besides its words: choices, a template.
    data: dict[str, Any] = field(default_factory=dict)
    #: WhatsApp Cloud, where the time for free texts is over: approved templates (whatsapp_cloud/window.py).
    instead: list[dict[str, str]] | None = None
    #: Of the account (channel_health_v1).
    health: dict[str, Any] = field(default_factory=dict)
    #: Seconds until the channel does not take it any more, where it has such a limit.
    window_left: float | None = None


def load_message(job: Job) -> OutboundMessage:
    """What a claimed job is to send. Raises PermanentError if there is nothing, or nothing to send it with."""
    message_id = payloads.read(job.queue, job.payload)["message_id"]
    if job.loaded is None:
        raise PermanentError(f"there is no reply {message_id} to send")
    loaded = dict(job.loaded)
    if loaded.pop("has_moved"):
        raise Snooze(MOVED_WAIT, "its conversation was merged into another at this moment")
    if loaded["sender"] is None:
        text = f"the chatbot has no active {channel_of(job.queue).account_table}; connect one and send again"
        raise with_code(PermanentRefusal(text), Reason.NOT_CONNECTED)
    return OutboundMessage(message_id=message_id, **loaded)


def finish(job: Job, message: OutboundMessage, channel: Channel, provider_id: str | None, ids: list[str]) -> None:
    """Keeps the provider's answer: SENT (or what a status said meanwhile), usage, event, the job's end."""
    known_id = strip_invalid(provider_id or "")[: payloads.MAX_ID] or message.external_id
    values = {
        "queue": job.queue,
        "message_id": message.message_id,
        "provider_id": known_id or None,
        "ids": [*ids, *([known_id] if known_id else [])],
        "attempt": job.attempt,
        "metadata": {"provider_id": known_id, "attempts": job.attempt},
        "customer_id": job.customer_id,
        "channel": channel.name,
    }
    if not _record_send(job, values):
        raise PermanentError(f"message {message.message_id} is gone")


def keep_parts_sent(message: OutboundMessage, count: int) -> None:
    """Keeps that the first `count` parts of a long message left, so that the next attempt goes on behind them."""
    query = queries["keep_parts_sent"]
    insist(lambda: db.retry_on_outage(lambda: query.rows(message_id=message.message_id, count=count), settings().job_lease))


def send_once(
    job: Job,
    message: OutboundMessage,
    channel: Channel,
    ids: list[str],
    send: Callable[[], str],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Sends, unless an earlier attempt did, or its account cannot send.

    `ids`: those that the provider may give the message, where they are known before. `look` is asked before a reply tries an
    account that is down: a cheap call that raises AccountDown if it still is.
    """
    if message.status == "SUPERSEDED":  # a person took the conversation over, before the claim of this job
        _end_of_superseded(job, message, ids)
        return
    if message.status != "PENDING":
        finish(job, message, channel, None, ids)
        return
    if job.outcome_unknown_for is not None and _delivery_confirmed(job, ids):
        finish(job, message, channel, ids[0], ids)
        return
    if message.window_left is not None and message.window_left <= 0:  # it was held, or waited for long
        raise with_code(PermanentRefusal("the 24-hour window closed before the reply could leave"), Reason.WINDOW_CLOSED)
    account = Account(
        channel, message.sender["chatbot_id"], message.sender[channel.account_column], message.health, message.window_left
    )
    health.admit(job, account)
    rate_limits.admit(job.id, job.queue, job.priority, f"{channel.name} {account.name}")
    provider_id = _call(job, account, send, look)
    if account.is_down:
        _tell_that_it_is_back(account)
    _finish_sent(job, message, channel, provider_id, ids)


def _end_of_superseded(job: Job, message: OutboundMessage, ids: list[str]) -> None:
    """Its question is asked anew if nobody has answered it; where an earlier send may have arrived, as AMBIGUOUS_SEND says."""
    conf = settings()
    values = {"message_id": message.message_id, "answer_within": conf.answer_within}
    may_have_left = message.parts_sent > 0
    if job.outcome_unknown_for is not None and queries["is_question_open"].scalar(**values):
        may_have_left = may_have_left or conf.ambiguous_send == "hold" or _delivery_confirmed(job, ids)
    log.info("reply_superseded")
    _end_superseded(job, values | {"queue": job.queue, "may_have_left": may_have_left})


def _call(job: Job, account: Account, send: Callable[[], str], look: Callable[[], None]) -> str:
    """The provider's id of what was sent. What a refusal says of the account is kept."""
    try:
        with slow_start.call((account.channel.name, account.name)) as found_down:
            if not found_down:
                return _send_or_tell(account, send, look)
    except AccountDown as down:
        health.hold(job, account, down.reason)
    except Slowed as slowed:
        health.slow_down(account, slowed.delay)
        raise
    except OutsideFailure as failure:
        raise _with_code(failure) from None
    health.hold(job, account, "as another reply has found")


def _send_or_tell(account: Account, send: Callable[[], str], look: Callable[[], None]) -> str:
    """Sends. That the account turned out to be down is kept before any other call of it may begin."""
    try:
        if account.is_down:
            look()
        return send()
    except AccountDown as down:
        health.went_down(account, down)
        raise


def _with_code(failure: OutsideFailure) -> OutsideFailure:
    """Failures of the call itself have no code yet."""
    if failure.error_code is None:
        kinds = {OutcomeUnknown: Reason.OUTCOME_UNKNOWN, ConnectFailed: Reason.PROVIDER_UNREACHABLE}
        with_code(failure, next((reason for kind, reason in kinds.items() if isinstance(failure, kind)), Reason.REQUEST_REFUSED))
    return failure


def _tell_that_it_is_back(account: Account) -> None:
    """Before the answer is kept: whoever is killed in between has released what waits."""
    try:
        health.came_back(account)
    except Exception:  # the message has left, and that must be kept; the next reply tries again
        log.exception("channel_state_not_kept", extra=account.key)


def _finish_sent(job: Job, message: OutboundMessage, channel: Channel, provider_id: str, ids: list[str]) -> None:
    """Keeps the answer of a message that has left. Only the keeping is tried again; sending again would send it twice."""
    for tries_left in reversed(range(RECORD_TRIES)):
        try:
            finish(job, message, channel, provider_id, ids)
            return
        except LeaseLost:
            # Who has the job now waits for a status that says what became of this send. Here is one.
            apply_delivery_status("SENT", message_id=message.message_id, provider_id=provider_id or None)
            raise
        except DatabaseError as error:  # a deadlock, for example; an outage is a ServiceDown
            if not tries_left:
                raise OutcomeUnknown(f"the message was sent, but this could not be recorded: {error}") from error


def _delivery_confirmed(job: Job, ids: list[str]) -> bool:
    """Whether a status proves that an ambiguous send arrived. Raises Snooze while one may come, PermanentError to hold."""
    if ids and queries["has_status_arrived"].row(message_id=job.message_id, ids=ids) is not None:
        return True
    conf = settings()
    waited = job.outcome_unknown_for or 0.0
    if waited < conf.ambiguous_wait:
        raise Snooze(conf.ambiguous_wait - waited, "outcome unknown: waiting for a status of the earlier send")
    if conf.ambiguous_send == "hold":
        raise PermanentRefusal("outcome unknown: an earlier send may have arrived, and AMBIGUOUS_SEND=hold")
    log.warning("outcome_unknown_sending_again", extra={"waited": round(waited, 1)})
    return False
