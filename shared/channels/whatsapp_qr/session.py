"""Whether a QR session is connected: what its gateway last told us, and what a send does about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared import db
from shared.channels.whatsapp_qr.gateway import SESSION_DOWN, QrGateway
from shared.errors import OutcomeUnknown, Snooze
from shared.http import ConnectFailed

log = logging.getLogger(__name__)

CONNECTED, DISCONNECTED = "connected", "disconnected"
#: Seconds for which a gateway's word that a session is down is believed; then a send asks, for the news of its return may
#: have been lost.
BELIEVED = 30.0

# An older event that comes late changes nothing; a gateway's clock that runs ahead does not block ours.
_NOTE = """
    update whatsapp_qr_session set state = %(state)s, state_detail = %(detail)s, state_at = told.at
    from (select least(clock_timestamp(), coalesce(to_timestamp(%(at)s), clock_timestamp())) as at) told
    where id = %(id)s and (state_at is null or state_at <= told.at)
    returning id
"""


def note(session_id: int, connected: bool, detail: str, at: float | None = None) -> bool:
    """Keeps what a gateway says of a session; `at` is its time (Unix seconds). False if something newer is known."""
    state = CONNECTED if connected else DISCONNECTED
    noted = db.row(_NOTE, {"id": session_id, "state": state, "detail": detail[:100], "at": at}) is not None
    if noted:
        log.info("qr session", extra={"session_id": session_id, "state": state, "detail": detail[:100]})
    return noted


def wait_until_connected(session: Mapping[str, Any], gateway: QrGateway, api_key: str) -> None:
    """Raises Snooze for a session that is not connected. `session` is a row of whatsapp_qr_session, as JSON."""
    if session["state"] != DISCONNECTED:
        return
    reason = f"WhatsApp QR: session {session['session_name']} is not connected ({session['state_detail']})"
    if _age(session["state_at"]) < BELIEVED:
        raise Snooze(SESSION_DOWN, reason)
    try:
        found = gateway.session_state(session["session_name"], api_key)
    except (ConnectFailed, OutcomeUnknown):  # of a question, not of a send
        raise Snooze(SESSION_DOWN, f"{reason}, and its gateway does not answer") from None
    note(session["id"], found.connected, found.detail)
    if not found.connected:
        raise Snooze(SESSION_DOWN, reason)


def _age(state_at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(state_at)).total_seconds()
