"""The health of channels' accounts: whether one can send, why not, and what its replies do meanwhile.

A state is learnt from what calls are refused with (`went_down`), from what providers report by webhook (`report`, `lift`), from a
call that passes again (`came_back`) and from new credentials (`connected`).

While an account cannot send, its replies are held: their jobs are parked in PostgreSQL (job_park_v1), where neither Redis nor the
sweep looks after them, at no attempt's cost and whatever their age. One of them comes back to try it, at growing intervals, three
times. Whoever finds that it can send again releases all of them, oldest first and one after the other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels.inbound import DeliveryStatus
from shared.channels.outcomes import AccountDown, Reason, explanation, with_code
from shared.channels.registry import Channel
from shared.config import settings
from shared.db import sql
from shared.errors import JobParked, LeaseLost, PermanentRefusal, Snooze
from shared.jobs.ledger import Job, insist
from shared.models import ChannelHealth
from shared.payloads import strip_invalid
from shared.telemetry import metrics

log = logging.getLogger(__name__)
queries = sql.load(__file__)

OK, DEGRADED, NEEDS_LOGIN, HELD, BANNED = STATES = ("ok", "degraded", "needs_login", "held", "banned")
#: Those in which nothing is sent.
DOWN = (NEEDS_LOGIN, HELD, BANNED)
#: Why an account cannot send, as its state; for another reason it is `held`.
_STATES: Mapping[Reason, str] = {
    Reason.TOKEN_INVALID: NEEDS_LOGIN,
    Reason.PERMISSION_MISSING: NEEDS_LOGIN,
    Reason.SESSION_OFFLINE: NEEDS_LOGIN,
    Reason.ACCOUNT_BANNED: BANNED,
    Reason.QUALITY_LOW: DEGRADED,
    Reason.ACCOUNT_ALERT: DEGRADED,
}
_LOGIN_REASONS = frozenset(reason for reason, state in _STATES.items() if state == NEEDS_LOGIN)
#: Reasons that are of the account, whichever message met them.
ACCOUNT_WIDE = frozenset(
    {
        Reason.TOKEN_INVALID,
        Reason.PERMISSION_MISSING,
        Reason.ACCOUNT_RESTRICTED,
        Reason.ACCOUNT_BANNED,
        Reason.NOT_REGISTERED,
        Reason.PAYMENT_MISSING,
        Reason.SESSION_OFFLINE,
    }
)
#: Seconds until a reply may try an account that is down: after nobody, one and two calls that found it so. Then it is waited for
#: somebody: a webhook, new credentials, an operator.
PAUSES = [30.0, 60.0, 600.0]
#: Seconds for which a job is parked before it looks again by itself: a net below whoever should have released it.
PARKED_FOR = 3_600.0
#: Seconds after which a reply is given up whose account never came back: a week.
HELD_FOR = 7 * 86_400.0
#: Seconds for which an account is slowed at most: one refused call an hour costs little, and a header may be nonsense.
SLOWED_FOR = 3_600.0
#: Characters of a provider's words that are kept.
MAX_DETAIL = 500


@dataclass(frozen=True)
class ChannelAccount:
    """A chatbot's account on a channel, whatever its table, and what a job's claim read of its health (channel_health_v1)."""

    channel: Channel
    chatbot_id: int
    name: str
    health: Mapping[str, Any]
    #: Seconds for which a reply that is held is worth waiting for; None: any.
    patience: float | None = None

    @property
    def is_down(self) -> bool:
        """Whether it could not send when this was read."""
        return bool(self.health.get("is_down"))

    @property
    def needs_login(self) -> bool:
        """Whether its credentials were not taken, or its session was not connected."""
        return self.is_down and self.health.get("reason") in _LOGIN_REASONS

    @property
    def key(self) -> dict[str, Any]:
        """As the queries name it."""
        return {"channel": self.channel.name, "chatbot_id": self.chatbot_id}


# --------------------------------------------------------------------------------------------------------------- sends


def admit(job: Job, account: ChannelAccount) -> None:
    """Lets a send of a healthy account pass, and one that may try a sick one. Raises Snooze, JobParked, PermanentRefusal."""
    slow_for = account.health.get("slow_for") or 0.0
    if slow_for > 0:
        # Not all at the same moment.
        raise Snooze(slow_for * random.uniform(1.0, 1.5), "the account's provider takes nothing for now", Reason.HELD_TOO_LONG)
    if account.is_down and not account.health.get("probe_is_due"):
        hold(job, account, account.health.get("reason") or "")


def take_probe(job: Job, account: ChannelAccount) -> None:
    """For a send that may try a sick account, at the last moment before it calls: only one does, and what is counted is a call.

    Whoever asked before a rate limit would have used up the try when it is told to wait. Raises what `hold` raises.
    """
    if queries["take_probe"].row(**account.key, pauses=PAUSES) is None:  # somebody was faster
        hold(job, account, account.health.get("reason") or "")
    log.info("channel_probed", extra=account.key)


def hold(job: Job, account: ChannelAccount, reason: str, held_for: float = HELD_FOR, *, may_try: bool = True) -> NoReturn:
    """Parks a job until its account can send. Raises JobParked; Snooze if it can by now; PermanentRefusal if it is too old.

    `may_try`: it is a send, which may come back to try the account.
    """
    if job.age > held_for:
        text = f"held for {job.age / 3_600:.0f} hours, because the {account.channel.account_noun} could not send ({reason})"
        raise with_code(PermanentRefusal(text), Reason.HELD_TOO_LONG)
    values = {
        "job_id": job.id,
        "claim": job.claim,
        "reason": f"held: the {account.channel.account_noun} cannot send ({reason})",
        # Once more when its window has closed: whoever waits for the reply is told then.
        "seconds": min(PARKED_FOR * random.uniform(1.0, 1.2), max(0.0, account.patience or PARKED_FOR) + 1.0),
        "may_try": may_try,
    }
    row = insist(lambda: db.retry_on_outage(lambda: queries["hold_job"].row(**account.key, **values), settings().job_lease))
    if row is None:
        raise Snooze(1.0, "the account can send again")
    if not row["is_held"]:
        raise LeaseLost(f"job {job.id}: claim {job.claim} is over")
    raise JobParked(reason)


def went_down(account: ChannelAccount, down: AccountDown) -> None:
    """A call of this account's was refused: it cannot send. A call that tried a sick one was counted before."""
    calls = 0 if account.is_down else 1
    _set_state(account, state_of(down.reason), down.reason, down.words, calls=calls, at=account.health.get("read_at"))


def came_back(account: ChannelAccount) -> None:
    """A call of an account that was down has passed: it can send, unless it was down for lack of acknowledgements."""
    if account.health.get("reason") == Reason.NOT_ACKNOWLEDGED:
        queries["schedule_probe"].rows(**account.key)
    else:
        _set_state(account, OK)


def slow_down(account: ChannelAccount, seconds: float) -> None:
    """The provider takes no more from this account for a while, or cannot be reached."""
    seconds = min(seconds, SLOWED_FOR)
    queries["slow"].rows(**account.key, seconds=seconds)
    log.info("channel_slowed", extra={**account.key, "seconds": seconds})


def send_scouts() -> int:
    """For the sweep, which enqueues them: has a reply try each account whose time has come and that nobody comes to try.

    The one that should have ended without a call: taken over, deleted, or refused for its own sake. Returns how many.
    """
    scouts = len(queries["send_scouts"].rows())
    if scouts:
        log.info("scouts_sent", extra={"count": scouts})
    return scouts


# ------------------------------------------------------------------------------------------------------------- reports


def state_of(reason: Reason) -> str:
    """The state of an account for this reason."""
    return _STATES.get(reason, HELD)


def report(account: ChannelAccount, state: str, reason: Reason, detail: str = "", at: str | None = None) -> bool:
    """What somebody outside says of an account; whether that changed its state. What only degrades it lifts nothing worse."""
    return _set_state(account, state, reason, detail, at=at, is_notice=state == DEGRADED)


def report_failure(account: ChannelAccount, failure: DeliveryStatus) -> None:
    """A message failed after its provider had taken it, for a reason that is the account's (ACCOUNT_WIDE)."""
    reason = Reason(failure.error_code or "")
    at = None if failure.at is None else datetime.fromtimestamp(failure.at, UTC).isoformat()
    report = partial(_set_state, account, state_of(reason), reason, failure.error or "", at=at)
    db.retry_on_outage(report, db.WEB_RETRY_SECONDS)


def lift(account: ChannelAccount, reasons: Collection[str]) -> bool:
    """Somebody outside says that these troubles of an account are over; whether that changed its state."""
    return _set_state(account, OK, lifts=list(reasons))


def connected(account: ChannelAccount) -> None:
    """It has new credentials."""
    _set_state(account, OK)


def why_down(account: ChannelAccount) -> str | None:
    """Why an account cannot send; None if it can."""
    row = ChannelHealth.select(ChannelHealth.reason).where(
        ChannelHealth.channel == account.channel.name,
        ChannelHealth.chatbot == account.chatbot_id,
        ChannelHealth.state.in_(DOWN),
    )
    reason: str | None = db.scalar(row)
    return reason


def account_of(channel: Channel, chatbot_id: int, name: str) -> ChannelAccount:
    """An account whose health was not read."""
    return ChannelAccount(channel, chatbot_id, name, {})


def retry(account: ChannelAccount) -> bool:
    """Lets a reply try an account at once, and twice more; False if it is not down."""
    return queries["retry"].row(**account.key) is not None


def _set_state(
    account: ChannelAccount,
    state: str,
    reason: Reason | None = None,
    detail: str = "",
    *,
    calls: int = 0,
    at: str | None = None,
    lifts: list[str] | None = None,
    is_notice: bool = False,
) -> bool:
    outcome = queries["set_state"].scalar(
        **account.key,
        state=state,
        reason=reason,
        detail=strip_invalid(detail)[:MAX_DETAIL] or None,
        at=at,
        calls=calls,
        pauses=PAUSES,
        pace=account.channel.release_pace,
        data=db.json({"account": account.name, "explanation": explanation(reason)}),
        lifts=lifts,
        is_notice=is_notice,
    )
    if outcome is None:  # it is as it is for a reason that this says nothing of
        return False
    if outcome["has_changed"]:
        metrics.increment("channel_states", account.channel.name, state)
        level = logging.INFO if state == OK else logging.WARNING if state == DEGRADED else logging.ERROR
        log.log(level, "channel_state", extra={**account.key, "state": state, "reason": reason})
    if not db.in_transaction():
        enqueue(tickets_of(outcome["tickets"]))  # in a transaction of the caller's: the sweep does it
    return bool(outcome["has_changed"])
