"""whatsapp-cloud-send: one message through Meta's Graph API; its wamid, attempts and usage are kept.

A free text after the 24 hours in which WhatsApp takes one does not leave: that would cost a call, and be refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shared.channels import failed_replies, sending
from shared.channels.choices import choices_in
from shared.channels.formatting import parts, to_whatsapp
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.channels.sending import OutboundMessage, Step, send_steps
from shared.channels.whatsapp_cloud import template_store, window
from shared.channels.whatsapp_cloud.interactive import with_choices
from shared.channels.whatsapp_cloud.send import MAX_TEXT, Content, as_template, as_text, callback_id, send_message
from shared.db import sql
from shared.db.credentials import decrypt
from shared.errors import PermanentError, PermanentRefusal
from shared.jobs.completion import CompletionStatement
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

if TYPE_CHECKING:  # of a text's way it is no part
    from shared.channels.outbound_file import OutboundFile

log = logging.getLogger(__name__)
queries = sql.load(__file__)

CHANNEL = channel("whatsapp_cloud")

refuse_late_text = CompletionStatement(queries["refuse_late_text"])


@actor(
    Queue.WHATSAPP_CLOUD,
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
    """Sends a reply to a WhatsApp number."""
    message = sending.load_message(job)
    if message.instead is not None and _is_untouched(job, message):
        _refuse_late_text(job, message.instead)
        return
    number = message.sender["phone_number_id"]
    token = decrypt(message.sender["access_token"], f"WhatsApp number {number}")
    try:
        sending.send_once(job, message, CHANNEL, [], lambda: send_steps(message, _steps(job, message, token)))
    except PermanentRefusal as refusal:
        _learn(message, refusal.error_code)
        raise


def _is_untouched(job: Job, message: OutboundMessage) -> bool:
    """Whether nothing of it can have left: else the rest is tried, and Meta is the judge."""
    return message.status == "PENDING" and job.outcome_unknown_for is None and not message.parts_sent


def _refuse_late_text(job: Job, instead: list[dict[str, str]]) -> None:
    reason = {"error": window.explanation(instead), "error_code": Reason.WINDOW_CLOSED}
    if not refuse_late_text(job, {"message_id": job.message_id, "customer_id": job.customer_id, **reason}):
        raise PermanentError(f"message {job.message_id} is gone")
    log.info("window_closed")


def _learn(message: OutboundMessage, error_code: str | None) -> None:
    """What Meta refuses says that what we know is out of date."""
    if error_code == Reason.WINDOW_CLOSED:
        window.close(message.message_id)
    elif error_code == Reason.TEMPLATE_REFUSED and message.sender["waba_id"]:
        template_store.want(message.sender["waba_id"])


def _steps(job: Job, message: OutboundMessage, token: str) -> Sequence[Step]:
    """A text too long for Meta leaves in parts, one after another, and so does one that is too long for its file."""
    if message.file is None:
        return [partial(_send, message, token, content) for content in _contents(message)]
    from shared.channels import sending_files
    from shared.channels.whatsapp_cloud.send_file import send_file

    def send_with(file: OutboundFile, caption: str, number: int | None) -> str:
        number_id, callback = message.sender["phone_number_id"], callback_id(message.message_id, number)
        return send_file(number_id, token, message.recipient, file, callback, caption)

    text = to_whatsapp(message.content, by_person=message.by_person)
    return sending_files.steps(
        job, message, CHANNEL, text, send_with, lambda part, number: _send(message, token, as_text(part), number), MAX_TEXT
    )


def _contents(message: OutboundMessage) -> list[Content]:
    """What leaves, in its order."""
    if template := message.data.get("template"):
        return [as_template(template)]
    text = to_whatsapp(message.content, by_person=message.by_person)
    if message.data.get("choices"):
        return with_choices(text, choices_in(message.data))
    return [as_text(part) for part in parts(text, MAX_TEXT)]


def _send(message: OutboundMessage, token: str, content: Content, number: int | None) -> str:
    callback = callback_id(message.message_id, number)
    return send_message(message.sender["phone_number_id"], token, message.recipient, content, callback)
