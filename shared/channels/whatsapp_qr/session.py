"""QR sessions: whose a session is, what its gateway last reported of its phone, and how a send waits for one that is offline."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from peewee import fn

from shared import db
from shared.channels.inbound import Account, SessionState
from shared.channels.whatsapp_qr.dialects import Dialect
from shared.errors import OutcomeUnknown, Snooze
from shared.http import ConnectFailed, code_of
from shared.models import WhatsappQrSession

log = logging.getLogger(__name__)

# Written out, for each webhook asks: peewee takes five times as long to put the same text together.
_FIND = """
    select id, chatbot_id, session_name, dialect, webhook_secret, active from whatsapp_qr_session where session_name = %s
"""

CONNECTED, DISCONNECTED = "connected", "disconnected"
#: Seconds to wait for a session that is not connected.
SESSION_DOWN = 15.0
#: Seconds for which a reported disconnection is believed. Then a send asks the gateway, because the report of its return may
#: have been lost.
BELIEVED = 30.0


def find(session_name: str) -> WhatsappQrSession | None:
    """The row of a session, active or not. Raises ServiceDown."""
    return db.retry_on_outage(partial(_load, session_name), db.WEB_RETRY_SECONDS)


def _load(session_name: str) -> WhatsappQrSession | None:
    with db.connection():
        return next(iter(WhatsappQrSession.raw(_FIND, session_name)), None)


def account_of(session: WhatsappQrSession | None) -> Account | None:
    """The account that a session is, if it is active."""
    if session is None or not session.active:
        return None
    return Account(session.id, session.session_name, session.chatbot_id)  # type: ignore[attr-defined]  # peewee makes it


def record_state(session_id: int, state: SessionState) -> bool:
    """Stores what a gateway says of a session; False if something newer is known.

    An older event that comes late changes nothing; a gateway's clock that runs ahead does not block ours.
    """
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


def wait_until_connected(session: Mapping[str, Any], dialect: Dialect, api_key: str) -> None:
    """Raises Snooze for a session that is not connected. `session` is a row of whatsapp_qr_session, as JSON."""
    if session["state"] != DISCONNECTED:
        return
    reason = f"WhatsApp QR: session {session['session_name']} is not connected ({code_of(session['state_detail']) or 'no state'})"
    if _age(session["state_at"]) < BELIEVED:
        raise Snooze(SESSION_DOWN, reason)
    try:
        state = dialect.session_state(session["session_name"], api_key)
    except (ConnectFailed, OutcomeUnknown):  # of this question; nothing was sent
        raise Snooze(SESSION_DOWN, f"{reason}, and its gateway does not answer") from None
    record_state(session["id"], state)
    if not state.connected:
        raise Snooze(SESSION_DOWN, reason)


def _age(state_at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(state_at)).total_seconds()
