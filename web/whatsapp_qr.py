"""/webhooks/whatsapp/qr/<session>: what a QR gateway (WAHA, Evolution API v2) tells us of one of its sessions."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Unauthorized

from shared import db, qr_session
from shared.config import settings
from shared.secrets import decrypt
from web import evolution_payload, inbound, waha_payload
from web.inbound import Inbound, Odd, Status, count
from web.qr_payload import STATE_EVENTS, Reader
from web.safety import takes
from web.signatures import evolution_authorised, waha_signed

hook = Blueprint("whatsapp_qr", __name__, url_prefix="/webhooks/whatsapp/qr")

HOOK = "whatsapp_qr"
#: Bytes: gateways may send a picture's preview along.
MAX_BODY = 1024 * 1024
#: Why an event is kept that may be taken later (web/replay.py).
NO_PLACE = "there is no active session of this name"

_SESSION = "select id, chatbot_id, dialect, webhook_secret, active from whatsapp_qr_session where session_name = %s"
_READ = {"waha": waha_payload.read, "evolution": evolution_payload.read}


@hook.post("/<session>")
@hook.post("/<session>/<event>")  # Evolution's "webhook by events"
@takes(MAX_BODY)
def receive(session: str, event: str = "") -> Response:
    """Takes messages, statuses and the session's state. 401 unless it shows the session's secret; 503: send it again."""
    raw = request.get_data()
    found = db.patiently(lambda: db.row(_SESSION, [session]), db.PATIENCE) if "\x00" not in session else None
    if not _authentic(found, session, raw):
        count(HOOK, "bad_signature")
        raise Unauthorized(
            "the signature is missing or wrong; want X-Webhook-Hmac (WAHA, sha512 of the body), or the secret as header apikey, "
            "bearer token or JWT (Evolution)"
        )
    body = inbound.body(HOOK, '{"event": …}')
    if found is None or not found["active"]:
        inbound.reject(HOOK, NO_PLACE, session[:100], body)
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


def take_kept(session: str, body: dict[str, Any]) -> bool:
    """Takes an event that was kept; False if its session is still nobody's. How a session was then is no news any more."""
    found = db.row(_SESSION, [session])
    if found is None or not found["active"]:
        return False
    if inbound.text(body.get("event")).lower().replace("_", ".") not in STATE_EVENTS:
        _take(found, session, body)
    return True


def _take(found: dict[str, Any], session: str, body: dict[str, Any]) -> None:
    try:
        items = _READ[found["dialect"]](body)
    except Odd as problem:
        count(HOOK, inbound.reject(HOOK, str(problem), session, body))
        return
    if not items:
        count(HOOK, "ignored")
    for raw, reader in items:
        inbound.item(HOOK, session, raw, lambda raw=raw, reader=reader: _item(found, reader, raw))  # type: ignore[misc]  # default binds


def _item(found: dict[str, Any], reader: Reader, raw: dict[str, Any]) -> str:
    read = reader(raw)
    if isinstance(read, Inbound):
        return inbound.accept(HOOK, found["chatbot_id"], read)
    if isinstance(read, Status):
        return inbound.apply(found["chatbot_id"], read)
    if read is None:
        return "ignored"
    noted = db.patiently(lambda: qr_session.note(found["id"], read.connected, read.detail, read.at), db.PATIENCE)
    return "session_noted" if noted else "session_stale"
