"""whatsapp-cloud-send: one text through Meta's Graph API; its wamid, attempts and usage are kept."""

from __future__ import annotations

from shared.channels import sending
from shared.channels.sending import OutboundMessage
from shared.channels.split import split_message
from shared.channels.whatsapp_cloud.send import MAX_TEXT, callback_id, send_text
from shared.db.credentials import decrypt
from shared.jobs.ledger import Claim
from shared.jobs.stage import stage
from shared.queues import Queue

CHANNEL = "whatsapp_cloud"


def send(claimed: Claim) -> None:
    """Sends a reply to a WhatsApp number."""
    parcel = sending.load_message(claimed)
    token = decrypt(parcel.sender["access_token"], f"WhatsApp number {parcel.sender['phone_number_id']}")
    sending.send_once(claimed, parcel, CHANNEL, [], lambda: _deliver(parcel, token))


def _deliver(parcel: OutboundMessage, token: str) -> str:
    """A text too long for Meta leaves in parts, one after another; the last one's wamid stands for the message."""
    *earlier, last = split_message(parcel.content, MAX_TEXT)
    for number, part in enumerate(earlier[parcel.parts_sent :], parcel.parts_sent + 1):
        _text(parcel, token, part, callback_id(parcel.message_id, number))
        sending.part_sent(parcel, number)
    return _text(parcel, token, last, callback_id(parcel.message_id))


def _text(parcel: OutboundMessage, token: str, text: str, callback: str) -> str:
    return send_text(parcel.sender["phone_number_id"], token, parcel.recipient, text, callback)


claim = sending.claiming(Queue.WHATSAPP_CLOUD)
actors = stage(claim, send)
