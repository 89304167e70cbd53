"""/webhooks/whatsapp/qr/<session>: what a QR gateway (WAHA, Evolution API v2) reports of one of its sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Unauthorized

from shared.channels.inbound import DeliveryStatus, InboundBatch, SessionState
from shared.channels.registry import channel
from shared.channels.whatsapp_qr import acks, parse, session, verify
from web.hardening import max_body, reads_no_body_without
from web.hooks import inbox
from web.hooks.bodies import files_lifted, raw_body

hook = Blueprint("whatsapp_qr", __name__, url_prefix="/webhooks/whatsapp/qr")

reads_no_body_without(verify.shows_proof, hook)
CHANNEL = channel("whatsapp_qr")
#: Bytes: a file of 16 MiB as base64, where a gateway sends files along; and those that are in memory.
MAX_BODY, IN_MEMORY = 24 * 1024 * 1024, 1024 * 1024


@hook.post("/<session_name>")
@hook.post("/<session_name>/<_event>")  # Evolution's "webhook by events"; the body names the event as well
@max_body(MAX_BODY, IN_MEMORY)
def receive(session_name: str, _event: str = "") -> Response:
    """Stores messages, statuses and the session's state. 401 unless it shows the session's secret; 503: send it again."""
    row = session.find(session_name)
    with raw_body() as raw:
        if not verify.is_authentic(row, request.headers, raw):
            inbox.count(CHANNEL, "bad_signature")
            raise Unauthorized(
                "WAHA must sign the body with the session's secret (X-Webhook-Hmac, sha512); Evolution must send the secret as "
                "the header apikey, as a bearer token, or as a JWT signed with it."
            )
    with files_lifted() as files:
        body = inbox.read_body(CHANNEL, '{"event": …}')
        if parse.is_of_another_session(row, session_name, body):
            inbox.count(CHANNEL, "bad_signature")
            raise Unauthorized(
                "The body names another session than the address. Give each session its own address at the gateway."
            )
        batch = parse.parse_body(row, session_name, body)
        account = session.account_of(row)
        inbox.store(CHANNEL, account, batch, files)
    if row is not None and account is not None and (acknowledged := _acknowledged(batch)):
        acks.note(account, row.acked_at, acknowledged)
    return Response("ok", mimetype="text/plain")


def _acknowledged(batch: InboundBatch) -> list[str]:
    return [item.provider_id for item in batch.items if isinstance(item, DeliveryStatus) and item.provider_id]


def replay(session_name: str, body: dict[str, Any]) -> bool:
    """Stores an event that was rejected; False if its session is still nobody's. How the session was then is no news any more."""
    row = session.find(session_name)
    account = session.account_of(row)
    if account is None:
        return False
    batch = parse.parse_body(row, session_name, body)
    lasting = [item for item in batch.items if not isinstance(item, SessionState)]
    inbox.store(CHANNEL, account, replace(batch, items=lasting))
    return True
