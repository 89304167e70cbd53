"""whatsapp-qr-send: one text through the QR gateway that holds the phone's session; the same book-keeping."""

from __future__ import annotations

from shared import qr_gateway, qr_session, sending
from shared.config import settings
from shared.ledger import Claim
from shared.queues import Queue
from shared.secrets import decrypt
from shared.stage import stage

CHANNEL = "whatsapp_qr"


def send(claimed: Claim) -> None:
    """Sends a reply to a chat id."""
    parcel = sending.parcel_of(claimed)
    session, stored = parcel.sender["session_name"], parcel.sender["api_key"]
    api_key = decrypt(stored, f"QR session {session}") if stored else settings().qr_api_key
    gateway = qr_gateway.dialect(parcel.sender["dialect"])
    if parcel.status == "PENDING":
        qr_session.wait_until_connected(parcel.sender, gateway, api_key)
    sending.send_once(
        claimed,
        parcel,
        CHANNEL,
        gateway.expected_ids(parcel.recipient, parcel.message_id),
        lambda: gateway.send_text(session, api_key, parcel.recipient, parcel.content, parcel.message_id),
    )


claim = sending.claiming(Queue.WHATSAPP_QR)
actors = stage(claim, send)
