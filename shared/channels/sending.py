"""What the send stages share: one message leaves at most once that we know of, and its book-keeping.

A send whose answer was not kept (a kill, a read timeout) is ambiguous: neither Meta nor the gateways have idempotency keys.
The next attempt finds out first what became of it (earlier_sends.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peewee import DatabaseError

from shared import db, payloads
from shared.broker import rate_limits
from shared.channels import earlier_sends, failed_calls, health
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.health import ChannelAccount
from shared.channels.outcomes import AccountDown, Reason, Slowed, with_code
from shared.channels.registry import Channel, channel_of
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
#: Seconds that a call waits for others at most, and after which an account that nobody used starts over.
PATIENCE, IDLE = 2.0, 5.0
#: Accounts that are remembered before idle ones are forgotten.
MANY = 1_000

#: One call of a provider; returns its id of what was sent.
Step = Callable[[int | None], str]

_record_send = CompletionStatement(queries["record_send"])


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
    #: What it has of a row of `media`, if it has a file; then its content may be empty (sending_files.py).
    file: dict[str, Any] | None = None
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


def keep_parts_sent(message: OutboundMessage, count: int, part_id: str) -> None:
    """Keeps that the first `count` parts of a long message left, so that the next attempt goes on behind them; and the last one's
    id, for a customer may react to it or quote it."""
    values = {"message_id": message.message_id, "count": count, "part_ids": [part_id] if part_id else []}
    insist(lambda: db.retry_on_outage(lambda: queries["keep_parts_sent"].rows(**values), settings().job_lease))


def send_steps(message: OutboundMessage, steps: Sequence[Step]) -> str:
    """What leaves in several calls, one after another, from the first on that no attempt has made.

    Each is told its number, the last one None: its id, which is returned, stands for the message.
    """
    *earlier, last = steps
    for number, step in enumerate(earlier[message.parts_sent :], message.parts_sent + 1):
        keep_parts_sent(message, number, step(number))
    return last(None)


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
        earlier_sends.end_superseded(job, message.message_id, message.parts_sent, ids)
        return
    if message.status != "PENDING":
        finish(job, message, channel, None, ids)
        return
    if job.outcome_unknown_for is not None and earlier_sends.has_arrived(job, ids):
        finish(job, message, channel, ids[0], ids)
        return
    if message.window_left is not None and message.window_left <= 0:  # it was held, or waited for long
        raise with_code(PermanentRefusal("the 24-hour window closed before the reply could leave"), Reason.WINDOW_CLOSED)
    account = ChannelAccount(
        channel, message.sender["chatbot_id"], message.sender[channel.account_column], message.health, message.window_left
    )
    is_down = bool(message.health.get("is_down"))
    if is_down or message.health.get("slow_for"):
        health.admit(job, account)
    rate_limits.admit(job.id, job.queue, job.priority, f"{channel.name} {account.name}" if channel.has_numbers else None)
    if is_down:
        health.take_probe(job, account)
    provider_id = _call(job, account, partial(_send_if_back, look, send) if is_down else send)
    if is_down:
        _tell_that_it_is_back(account)
    _finish_sent(job, message, channel, provider_id, ids)


def _send_if_back(look: Callable[[], None], send: Callable[[], str]) -> str:
    look()
    return send()


def _call(job: Job, account: ChannelAccount, send: Callable[[], str]) -> str:
    """The provider's id of what was sent. What a refusal says of the account is kept."""
    try:
        with _slow_start.call((account.channel.name, account.name)) as found_down:
            if not found_down:
                return _send_or_tell(account, send)
    except AccountDown as down:
        health.hold(job, account, down.reason)
    except Slowed as slowed:
        health.slow_down(account, slowed.delay)
        raise
    except ConnectFailed as failure:
        raise failed_calls.unreachable(job, account, failure) from None
    except OutsideFailure as failure:
        raise failed_calls.named(failure) from None
    health.hold(job, account, "as another reply has found")


def _send_or_tell(account: ChannelAccount, send: Callable[[], str]) -> str:
    """Sends. That the account turned out to be down is kept before any other call of it may begin."""
    try:
        return send()
    except AccountDown as down:
        health.went_down(account, down)
        raise


def _tell_that_it_is_back(account: ChannelAccount) -> None:
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


class _Window:
    """The calls of one account."""

    def __init__(self) -> None:
        self.size, self.under_way, self.used_at, self.down_at = 1, 0, 0.0, 0.0


class SlowStart:
    """How many calls of one account a process makes at the same time: one at first, and one more with each that passes.

    An account whose token was revoked would else be asked by every thread at once, when its replies were queued meanwhile. So
    nobody calls beside the first call until that is answered; 32 calls may be under way after as many answers, so nothing is
    slower than the first call. A number that nobody used for a while starts over. Nobody waits long: a provider that hangs is its
    own trouble.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._windows: dict[Hashable, _Window] = {}

    @contextmanager
    def call(self, account: Hashable) -> Iterator[bool]:
        """Around a call; gives whether another one has found the account down while this one waited."""
        asked_at = time.monotonic()
        window = self._enter(account, asked_at)
        found_down = window.down_at >= asked_at
        growth = 0 if found_down else 1
        try:
            yield found_down
        except AccountDown:
            growth, window.down_at = -window.size, time.monotonic()
            raise
        except (ConnectFailed, OutcomeUnknown):
            growth = 0
            raise
        finally:
            self._leave(window, growth)

    def _enter(self, account: Hashable, now: float) -> _Window:
        with self._changed:
            window = self._windows.setdefault(account, _Window())
            if not window.under_way and now - window.used_at > IDLE:
                window.size = 1
            self._changed.wait_for(lambda: window.under_way < window.size, PATIENCE)
            window.under_way += 1
            window.used_at = now
            self._forget_idle(now)
        return window

    def _leave(self, window: _Window, growth: int) -> None:
        with self._changed:
            window.under_way -= 1
            window.size = max(1, window.size + growth)
            window.used_at = time.monotonic()
            self._changed.notify_all()

    def _forget_idle(self, now: float) -> None:
        if len(self._windows) > MANY:
            self._windows = {
                account: window for account, window in self._windows.items() if window.under_way or now - window.used_at < IDLE
            }


_slow_start = SlowStart()
