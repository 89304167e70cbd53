"""whatsapp-qr-send: one text through the QR gateway that holds the phone's session; the same book-keeping."""

from __future__ import annotations

from shared.channels import sending
from shared.channels.whatsapp_qr import session
from shared.channels.whatsapp_qr.dialects import dialect
from shared.config import settings
from shared.db.credentials import decrypt
from shared.jobs.ledger import Claim
from shared.jobs.stage import stage
from shared.queues import Queue

CHANNEL = "whatsapp_qr"


def send(claimed: Claim) -> None:
    """Sends a reply to a chat id."""
    parcel = sending.load_message(claimed)
    name, stored = parcel.sender["session_name"], parcel.sender["api_key"]
    api_key = decrypt(stored, f"QR session {name}") if stored else settings().qr_api_key
    spoken = dialect(parcel.sender["dialect"])
    if parcel.status == "PENDING":
        session.wait_until_connected(parcel.sender, spoken, api_key)
    sending.send_once(
        claimed,
        parcel,
        CHANNEL,
        spoken.expected_ids(parcel.message_id),
        lambda: spoken.send_text(name, api_key, parcel.recipient, parcel.content, parcel.message_id),
    )


claim = sending.claiming(Queue.WHATSAPP_QR)
actors = stage(claim, send)
