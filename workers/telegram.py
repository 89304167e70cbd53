"""telegram-send: one reply to a Telegram chat, a text or a file, with buttons for what it offers to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shared.channels import failed_replies, sending
from shared.channels.choices import Choice, choices_in
from shared.channels.formatting import parts, to_plain
from shared.channels.registry import channel
from shared.channels.sending import OutboundMessage, Step, send_steps
from shared.channels.telegram.send import MAX_TEXT, send_text, text_with
from shared.db import sql
from shared.db.credentials import decrypt
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

if TYPE_CHECKING:
    from shared.channels.outbound_file import OutboundFile

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
    sending.send_once(job, message, CHANNEL, [], lambda: send_steps(message, _steps(job, message, token)))


def _steps(job: Job, message: OutboundMessage, token: str) -> Sequence[Step]:
    """A text too long for Telegram, or for its file, leaves in parts, one after another; the last one has the buttons."""
    choices, topic, chat = choices_in(message.data), message.sender["topic"], message.recipient
    if message.file is None:
        *earlier, last = parts(text_with(to_plain(message.content), choices), MAX_TEXT)
        steps = [partial(_send, token, chat, part, topic=topic) for part in earlier]
        return [*steps, partial(_send, token, chat, last, choices=choices, topic=topic)]
    from shared.channels import sending_files
    from shared.channels.telegram.send_file import send_file

    def send_with(file: OutboundFile, caption: str, _number: int | None) -> str:
        return send_file(token, chat, file, caption, topic)

    send_part = partial(_send, token, chat, topic=topic)
    return sending_files.steps(job, message, CHANNEL, to_plain(message.content), send_with, send_part, MAX_TEXT)


def _send(
    token: str, chat: str, text: str, _number: int | None = None, *, choices: Sequence[Choice] = (), topic: int | None
) -> str:
    return send_text(token, chat, text, choices, topic)
