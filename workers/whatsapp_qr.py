"""whatsapp-qr-send: one text through the QR gateway that holds the phone's session; the same book-keeping."""

from __future__ import annotations

from shared.channels import failed_replies, sending
from shared.channels.choices import choices_in, numbered
from shared.channels.formatting import to_whatsapp
from shared.channels.registry import channel
from shared.channels.whatsapp_qr import session
from shared.channels.whatsapp_qr.dialects import dialect
from shared.channels.whatsapp_qr.gateway import key_of
from shared.db import sql
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

CHANNEL = channel("whatsapp_qr")


@actor(
    Queue.WHATSAPP_QR,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(failed_replies.queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=failed_replies.queries["attempt_failed"],
    at_most_once=CHANNEL.at_most_once,
    durable_claims=True,
    limits_itself=True,
)
def send(job: Job) -> None:
    """Sends a reply to a chat id."""
    message = sending.load_message(job)
    name, gateway = message.sender["session_name"], dialect(message.sender["dialect"])
    api_key = key_of(name, message.sender["api_key"])
    text = numbered(to_whatsapp(message.content, by_person=message.by_person), choices_in(message.data))
    sending.send_once(
        job,
        message,
        CHANNEL,
        gateway.expected_ids(message.message_id),
        lambda: gateway.send_text(name, api_key, message.recipient, text, message.message_id),
        lambda: session.look(message.sender, message.health["reason"], gateway, api_key),
    )
