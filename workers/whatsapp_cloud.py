"""whatsapp-cloud-send: one text through Meta's Graph API; its wamid, attempts and usage are kept."""

from __future__ import annotations

from shared import graph_api, sending
from shared.ledger import Claim
from shared.queues import Queue
from shared.secrets import decrypt
from shared.stage import stage

CHANNEL = "whatsapp_cloud"


def send(claimed: Claim) -> None:
    """Sends a reply to a WhatsApp number."""
    parcel = sending.parcel_of(claimed)
    number = parcel.sender["phone_number_id"]
    token = decrypt(parcel.sender["access_token"], f"WhatsApp number {number}")
    sending.send_once(
        claimed,
        parcel,
        CHANNEL,
        [],
        lambda: graph_api.send_text(number, token, parcel.recipient, parcel.content, parcel.message_id),
    )


claim = sending.claiming(Queue.WHATSAPP_CLOUD)
actors = stage(claim, send)
