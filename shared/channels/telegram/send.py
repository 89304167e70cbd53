"""A reply to a Telegram chat. What errors do to the send is in errors.py.

Source: Bot API 9, sendMessage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shared.channels.choices import Choice, numbered
from shared.channels.inbound import get_path, integer
from shared.channels.telegram.api import call, description_of, result_of
from shared.channels.telegram.contents import message_id
from shared.channels.telegram.errors import classify_error
from shared.http import Response

#: Characters of one message, counted in UTF-16 units.
MAX_TEXT = 4_096
#: Bytes of what a button reports when it is pressed.
MAX_BUTTON_ID = 64


def text_with(text: str, choices: Sequence[Choice]) -> str:
    """The text to be sent: with the choices in it, if they cannot be buttons."""
    return text if has_buttons(choices) else numbered(text, choices)


def has_buttons(choices: Sequence[Choice]) -> bool:
    """Whether all choices can be buttons: their ids are short enough."""
    return all(len(choice.id.encode()) <= MAX_BUTTON_ID for choice in choices)


def send_text(token: str, chat_id: str, text: str, choices: Sequence[Choice] = (), topic: int | None = None) -> str:
    """Sends a text of up to MAX_TEXT, with a button for each choice; returns our id of the message. `topic`: that of a private
    chat; where it is gone, the chat itself gets the text.

    Raises what `outcomes.error_of` gives, and what shared.http raises.
    """
    body: dict[str, Any] = {"chat_id": chat_id, "text": text, "link_preview_options": {"is_disabled": True}}
    if choices and has_buttons(choices):
        body["reply_markup"] = {"inline_keyboard": [[{"text": one.title, "callback_data": one.id}] for one in choices]}
    answer = call(token, "sendMessage", body if topic is None else {**body, "message_thread_id": topic})
    if topic is not None and is_topic_gone(answer):
        answer = call(token, "sendMessage", body)
    return id_of_sent(chat_id, answer)


#: A 400 that speaks of the topic: nothing can be sent there. "message thread not found", "invalid topic identifier specified",
#: TOPIC_DELETED, TOPIC_CLOSED.
_OF_TOPIC = re.compile(r"thread|topic", re.I)


def is_topic_gone(answer: Response) -> bool:
    """Whether the topic that was to get it is there no more, or takes nothing."""
    return answer.status == 400 and bool(_OF_TOPIC.search(description_of(answer)))


def id_of_sent(chat_id: str, answer: Response) -> str:
    """Our id of what was sent. Raises what `outcomes.error_of` gives."""
    if not answer.ok:
        raise classify_error(answer)
    number = integer(get_path(result_of(answer), "message_id"))
    # 2xx: Telegram accepted it, whatever else it answered. Sending again would be a second message.
    return "" if number is None else message_id(chat_id, number)
