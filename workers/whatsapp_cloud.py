"""whatsapp-cloud-send: one text through Meta's Graph API; its wamid, attempts and usage are kept."""

from __future__ import annotations

from shared.channels import sending
from shared.channels.formatting import parts, to_whatsapp
from shared.channels.registry import channel
from shared.channels.sending import OutboundMessage
from shared.channels.whatsapp_cloud.send import MAX_TEXT, callback_id, send_text
from shared.db import sql
from shared.db.credentials import decrypt
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

CHANNEL = channel("whatsapp_cloud")


@actor(
    Queue.WHATSAPP_CLOUD,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(sending.queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=sending.queries["attempt_failed"],
    at_most_once=CHANNEL.at_most_once,
    durable_claims=True,
    limits_itself=True,
)
def send(job: Job) -> None:
    """Sends a reply to a WhatsApp number."""
    message = sending.load_message(job)
    number = message.sender["phone_number_id"]
    token = decrypt(message.sender["access_token"], f"WhatsApp number {number}")
    sending.send_once(job, message, CHANNEL, [], lambda: _send_parts(message, token))


def _send_parts(message: OutboundMessage, token: str) -> str:
    """A text too long for Meta leaves in parts, one after another; the last one's wamid stands for the message."""
    *earlier, last = parts(to_whatsapp(message.content, by_person=message.by_person), MAX_TEXT)
    for number, part in enumerate(earlier[message.parts_sent :], message.parts_sent + 1):
        _send_text(message, token, part, callback_id(message.message_id, number))
        sending.keep_parts_sent(message, number)
    return _send_text(message, token, last, callback_id(message.message_id))


def _send_text(message: OutboundMessage, token: str, text: str, callback: str) -> str:
    return send_text(message.sender["phone_number_id"], token, message.recipient, text, callback)
