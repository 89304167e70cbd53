"""whatsapp-cloud-send: one text through Meta's Graph API; its wamid, attempts and usage are kept."""

from __future__ import annotations

from shared import graph_api, sending
from shared.ledger import Claim
from shared.queues import Queue
from shared.secrets import decrypt
from shared.sending import Parcel
from shared.stage import stage
from shared.texts import parts

CHANNEL = "whatsapp_cloud"


def send(claimed: Claim) -> None:
    """Sends a reply to a WhatsApp number."""
    parcel = sending.parcel_of(claimed)
    token = decrypt(parcel.sender["access_token"], f"WhatsApp number {parcel.sender['phone_number_id']}")
    sending.send_once(claimed, parcel, CHANNEL, [], lambda: _deliver(parcel, token))


def _deliver(parcel: Parcel, token: str) -> str:
    """A text too long for Meta leaves in parts, one after another; the last one's wamid stands for the message."""
    *earlier, last = parts(parcel.content, graph_api.MAX_TEXT)
    for number, part in enumerate(earlier[parcel.parts_sent :], parcel.parts_sent + 1):
        _text(parcel, token, part, graph_api.callback_id(parcel.message_id, number))
        sending.part_sent(parcel, number)
    return _text(parcel, token, last, graph_api.callback_id(parcel.message_id))


def _text(parcel: Parcel, token: str, text: str, callback: str) -> str:
    return graph_api.send_text(parcel.sender["phone_number_id"], token, parcel.recipient, text, callback)


claim = sending.claiming(Queue.WHATSAPP_CLOUD)
actors = stage(claim, send)
