"""telegram-send: one text to a Telegram chat, with buttons for what it offers to choose from; the same book-keeping."""

from __future__ import annotations

from shared.channels import failed_replies, sending
from shared.channels.choices import choices_in
from shared.channels.formatting import parts, to_plain
from shared.channels.registry import channel
from shared.channels.sending import OutboundMessage
from shared.channels.telegram.send import MAX_TEXT, send_text, text_with
from shared.db import sql
from shared.db.credentials import decrypt
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

CHANNEL = channel("telegram")


@actor(
    Queue.TELEGRAM,
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
    """Sends a reply to a chat."""
    message = sending.load_message(job)
    token = decrypt(message.sender["token"], f"Telegram bot {message.sender['bot_id']}")
    sending.send_once(job, message, CHANNEL, [], lambda: _send_parts(message, token))


def _send_parts(message: OutboundMessage, token: str) -> str:
    """A text too long for Telegram leaves in parts, one after another; the last has the buttons, and its id is the message's."""
    choices, topic = choices_in(message.data), message.sender["topic"]
    *earlier, last = parts(text_with(to_plain(message.content), choices), MAX_TEXT)
    for number, part in enumerate(earlier[message.parts_sent :], message.parts_sent + 1):
        send_text(token, message.recipient, part, topic=topic)
        sending.keep_parts_sent(message, number)
    return send_text(token, message.recipient, last, choices, topic)
