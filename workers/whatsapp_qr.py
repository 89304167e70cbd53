"""whatsapp-qr-send: one reply, a text or a file, through the QR gateway that holds the phone's session."""

from __future__ import annotations

from collections.abc import Callable

from shared.channels import failed_replies, sending
from shared.channels.choices import choices_in, numbered
from shared.channels.formatting import to_whatsapp
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.channels.sending import OutboundMessage
from shared.channels.whatsapp_qr import session
from shared.channels.whatsapp_qr.dialects import Dialect, dialect
from shared.channels.whatsapp_qr.gateway import key_of
from shared.db import sql
from shared.errors import OutsideFailure
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

CHANNEL = channel("whatsapp_qr")
#: Other names of a person that are tried.
MOST_NAMES = 2


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
        lambda: _send(job, message, gateway, api_key, text),
        lambda: session.look(message.sender, message.health["reason"], gateway, api_key),
    )


def _send(job: Job, message: OutboundMessage, gateway: Dialect, api_key: str, text: str) -> str:
    name = message.sender["session_name"]
    if message.file is None:
        return _under_some_name(message, lambda chat: gateway.send_text(name, api_key, chat, text, message.message_id))
    from shared.channels import sending_files

    with sending_files.loaded(job, message) as file:
        return _under_some_name(message, lambda chat: gateway.send_file(name, api_key, chat, file, message.message_id, text))


def _under_some_name(message: OutboundMessage, send_to: Callable[[str], str]) -> str:
    """Sends under the name that the customer wrote from. Gateways at times do not know that one, a phone number or a @lid, and so
    have sent nothing; then under the person's other names."""
    try:
        return send_to(message.recipient)
    except OutsideFailure as refusal:
        if refusal.error_code != Reason.RECIPIENT_UNREACHABLE:
            raise
        for row in queries["other_names"].rows(message_id=message.message_id, recipient=message.recipient, most=MOST_NAMES):
            try:
                return send_to(row["name"])
            except OutsideFailure as other_refusal:
                if other_refusal.error_code != Reason.RECIPIENT_UNREACHABLE:
                    raise
        raise
