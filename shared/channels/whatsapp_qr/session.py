"""QR sessions: whose a session is, and what its gateway says of its phone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from peewee import fn

from shared import db
from shared.channels import health
from shared.channels.inbound import InboundAccount, SessionState
from shared.channels.outcomes import AccountDown, Reason
from shared.channels.registry import channel
from shared.channels.whatsapp_qr.dialects import Dialect
from shared.db import sql
from shared.errors import OutcomeUnknown
from shared.http import ConnectFailed, code_of
from shared.models import WhatsappQrSession

log = logging.getLogger(__name__)
queries = sql.load(__file__)

# Written out, for each webhook asks: peewee takes five times as long to put the same text together.
_FIND = """
    select id, chatbot_id, session_name, dialect, webhook_secret, active, acked_at
    from whatsapp_qr_session where session_name = %s
"""

CONNECTED, DISCONNECTED = "connected", "disconnected"
#: Words of gateways for a session that is about to be connected again. Whoever sends meanwhile hears what it is like.
_STARTING = frozenset({"STARTING", "connecting"})
#: Why replies of a session are held that a gateway calls connected now.
_OFFLINE = frozenset({Reason.SESSION_OFFLINE})


def find(session_name: str) -> WhatsappQrSession | None:
    """The row of a session, active or not. Raises ServiceDown."""
    return db.retry_on_outage(partial(_load, session_name), db.WEB_RETRY_SECONDS)


def _load(session_name: str) -> WhatsappQrSession | None:
    with db.connection():
        return next(iter(WhatsappQrSession.raw(_FIND, session_name)), None)


def account_of(session: WhatsappQrSession | None) -> InboundAccount | None:
    """The account that a session is, if it is active."""
    if session is None or not session.active:
        return None
    return InboundAccount(session.id, session.session_name, session.chatbot_id)  # type: ignore[attr-defined]  # peewee makes it


def record_state(session_id: int, state: SessionState) -> bool:
    """Stores what a gateway says of a session; False if something newer is known.

    An older event that comes late changes nothing; a gateway's clock that runs ahead does not block ours.
    """
    if state.connected:
        queries["ask_for_lids_again"].rows(session_id=session_id)
    table, now = WhatsappQrSession, fn.clock_timestamp()
    at = now if state.at is None else fn.least(now, fn.to_timestamp(state.at))
    word, detail = CONNECTED if state.connected else DISCONNECTED, state.detail[:100]
    update = table.update(state=word, state_detail=detail, state_at=at)
    with db.connection():
        query = update.where(table.id == session_id, table.state_at.is_null() | (table.state_at <= at))
        changed: bool = query.execute() > 0
    if changed:
        log.info("qr_session_state", extra={"session_id": session_id, "state": word, "detail": code_of(detail)})
    return changed


def report(account: InboundAccount, state: SessionState) -> bool:
    """Keeps what a gateway says of a session, and what that means for its replies; False if something newer is known."""
    if not record_state(account.id, state):
        return False
    if state.connected:
        _connected(_healthy(account))
    elif state.detail not in _STARTING:
        at = None if state.at is None else datetime.fromtimestamp(state.at, UTC).isoformat()
        health.report(_healthy(account), health.NEEDS_LOGIN, Reason.SESSION_OFFLINE, state.detail, at)
    return True


def _connected(account: health.ChannelAccount) -> None:
    """One that acknowledged nothing was restarted, perhaps: a reply tries it, for the word alone proves nothing."""
    if not health.lift(account, _OFFLINE) and health.why_down(account) == Reason.NOT_ACKNOWLEDGED:
        health.retry(account)


def _healthy(account: InboundAccount) -> health.ChannelAccount:
    return health.account_of(channel("whatsapp_qr"), account.chatbot_id, account.name)


def look(session: Mapping[str, Any], reason: str, dialect: Dialect, api_key: str) -> None:
    """Raises AccountDown, for that reason, unless the gateway says that a session is connected. `session`: a row, as JSON."""
    name = session["session_name"]
    try:
        state = dialect.session_state(name, api_key)
    except (ConnectFailed, OutcomeUnknown):  # of this question; nothing was sent
        raise AccountDown(Reason(reason), f"WhatsApp QR: the gateway of session {name} does not answer", "") from None
    if not state.connected:
        text = f"WhatsApp QR: session {name} is not connected ({code_of(state.detail) or 'no state'})"
        raise AccountDown(Reason(reason), text, state.detail)
    record_state(session["id"], state)
