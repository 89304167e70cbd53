"""/webhooks/whatsapp/qr/<session>: what a QR gateway (WAHA, Evolution API v2) tells us of one of its sessions."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Unauthorized

from shared import db
from shared.channels.inbound import DeliveryStatus, InboundMessage, MalformedItem, text
from shared.channels.signatures import evolution_authorised, waha_signed
from shared.channels.whatsapp_qr import evolution_parse, waha_parse
from shared.channels.whatsapp_qr import session as qr_session
from shared.channels.whatsapp_qr.parse import STATE_EVENTS, Reader
from shared.config import settings
from shared.db.credentials import decrypt
from web.hardening import max_body
from web.hooks import inbox
from web.hooks.inbox import count

hook = Blueprint("whatsapp_qr", __name__, url_prefix="/webhooks/whatsapp/qr")

HOOK = "whatsapp_qr"
#: Bytes: gateways may send a picture's preview along.
MAX_BODY = 1024 * 1024
#: Why an event is kept that may be taken later (web/hooks/replay.py).
UNKNOWN_ACCOUNT = "there is no active session of this name"

_SESSION = "select id, chatbot_id, dialect, webhook_secret, active from whatsapp_qr_session where session_name = %s"
_READ = {"waha": waha_parse.read, "evolution": evolution_parse.read}


@hook.post("/<session>")
@hook.post("/<session>/<event>")  # Evolution's "webhook by events"
@max_body(MAX_BODY)
def receive(session: str, event: str = "") -> Response:  # noqa: ARG001 - a part of the URL that the body repeats
    """Takes messages, statuses and the session's state. 401 unless it shows the session's secret; 503: send it again."""
    raw = request.get_data()
    found = db.retry_on_outage(lambda: db.row(_SESSION, [session]), db.WEB_RETRY_SECONDS) if "\x00" not in session else None
    if not _authentic(found, session, raw):
        count(HOOK, "bad_signature")
        raise Unauthorized(
            "the signature is missing or wrong; want X-Webhook-Hmac (WAHA, sha512 of the body), or the secret as header apikey, "
            "bearer token or JWT (Evolution)"
        )
    body = inbox.body(HOOK, '{"event": …}')
    if found is None or not found["active"]:
        inbox.reject(HOOK, UNKNOWN_ACCOUNT, session[:100], body)
        count(HOOK, "unknown_session")
    else:
        _take(found, session, body)
    return Response("ok", mimetype="text/plain")


def _authentic(found: dict[str, Any] | None, session: str, raw: bytes) -> bool:
    """By the session's own secret, else by the environment's; without either, nobody is."""
    stored = found["webhook_secret"] if found else None
    secret = decrypt(stored, f"the hook of QR session {session}") if stored else settings().qr_webhook_secret
    headers = request.headers
    if found is None or found["dialect"] == "waha":
        signed = waha_signed(headers.get("X-Webhook-Hmac", ""), raw, secret)
        if signed or found is not None:
            return signed
    return evolution_authorised(headers.get("apikey", ""), headers.get("Authorization", ""), secret)


def replay_item(session: str, body: dict[str, Any]) -> bool:
    """Takes an event that was kept; False if its session is still nobody's. How a session was then is no news any more."""
    found = db.row(_SESSION, [session])
    if found is None or not found["active"]:
        return False
    if text(body.get("event")).lower().replace("_", ".") not in STATE_EVENTS:
        _take(found, session, body)
    return True


def _take(found: dict[str, Any], session: str, body: dict[str, Any]) -> None:
    try:
        items = _READ[found["dialect"]](body)
    except MalformedItem as problem:
        count(HOOK, inbox.reject(HOOK, str(problem), session, body))
        return
    if not items:
        count(HOOK, "ignored")
    for raw, reader in items:
        inbox.item(HOOK, session, raw, lambda raw=raw, reader=reader: _item(found, reader, raw))  # type: ignore[misc]  # default binds


def _item(found: dict[str, Any], reader: Reader, raw: dict[str, Any]) -> str:
    read = reader(raw)
    if isinstance(read, InboundMessage):
        return inbox.accept(HOOK, found["chatbot_id"], read)
    if isinstance(read, DeliveryStatus):
        return inbox.apply(found["chatbot_id"], read)
    if read is None:
        return "ignored"
    noted = db.retry_on_outage(lambda: qr_session.note(found["id"], read.connected, read.detail, read.at), db.WEB_RETRY_SECONDS)
    return "session_noted" if noted else "session_stale"
