"""Gateways that say their session is connected, and send nothing: they take replies, and acknowledge none of them.

WhatsApp's server acknowledges each message within a second or two, and the gateway reports it (`message.ack`,
`messages.update`). Where replies were taken and nothing at all was reported for a minute, the session is dead, whatever it is
called. Its replies are held; one that tries it proves nothing by being taken, only by being acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared import db
from shared.channels import health
from shared.channels.inbound import InboundAccount
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.db import sql

queries = sql.load(__file__)

#: Seconds for which the acknowledgement of a reply is waited for.
PATIENCE = 60.0
#: Seconds by which `acked_at` lags behind at most: so that not each acknowledgement is written down.
STEP = 10.0
#: Seconds for which sends are looked at: an hour, longer than housekeeping is away.
LOOK_BACK = 3_600.0

_NOT_ACKNOWLEDGED = frozenset({Reason.NOT_ACKNOWLEDGED})


def note(account: InboundAccount, acked_at: datetime | None, provider_ids: Sequence[str]) -> None:
    """A session's gateway acknowledges these messages. `acked_at`: as it was when the webhook came."""
    if acked_at is not None and acked_at > datetime.now(UTC) - timedelta(seconds=STEP):
        return
    values = {"session_id": account.id, "chatbot_id": account.chatbot_id, "provider_ids": list(provider_ids), "step": STEP}
    if db.retry_on_outage(lambda: queries["note"].row(**values), db.WEB_RETRY_SECONDS) is not None:
        health.lift(_healthy(account.chatbot_id, account.name), _NOT_ACKNOWLEDGED)


def watch(patience: float = PATIENCE) -> int:
    """For housekeeping: reports sessions that acknowledge nothing; returns how many there are.

    One that never acknowledged anything may be well, and only not have been told to: its replies are not held.
    """
    silent = queries["silent_sessions"].rows(patience=patience, step=STEP, look_back=LOOK_BACK)
    for row in silent:
        state = health.HELD if row["has_acknowledged"] else health.DEGRADED
        health.report(_healthy(row["chatbot_id"], row["session_name"]), state, Reason.NOT_ACKNOWLEDGED)
    return len(silent)


def _healthy(chatbot_id: int, name: str) -> health.ChannelAccount:
    return health.account_of(channel("whatsapp_qr"), chatbot_id, name)
