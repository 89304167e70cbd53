"""One file to a Telegram chat, by the method that shows it best.

Source: Bot API 9, sending files. A file's method says how it is shown. Telegram looks into it, and what it cannot show goes as a
document, which it takes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.channels.outbound_file import OutboundFile, chosen_way, seconds_for
from shared.channels.telegram.api import call_with, description_of
from shared.channels.telegram.send import id_of_sent, is_topic_gone
from shared.http import Response
from shared.http.multipart import form

DOCUMENT = "sendDocument"
#: What a 400 says of a file that cannot be shown as it should be: a picture that is too long, a broken one, a sticker of the
#: wrong size; and of a customer who takes no voice notes.
_UNFIT = re.compile(r"photo_|image_process_failed|too big for a photo|video_|sticker_|voice_messages_forbidden", re.I)


def send_file(token: str, chat_id: str, file: OutboundFile, caption: str = "", topic: int | None = None) -> str:
    """Sends it; returns our id of the message. `topic`, and what is raised, as of `send_text`."""
    method = chosen_way("telegram", file, caption).name
    fields = {"chat_id": chat_id, **({"caption": caption} if caption else {})}
    in_topic = fields if topic is None else {**fields, "message_thread_id": str(topic)}
    answer = _call(token, method, in_topic, file)
    if topic is not None and is_topic_gone(answer):
        in_topic = fields
        answer = _call(token, method, fields, file)
    if method != DOCUMENT and answer.status == 400 and _UNFIT.search(description_of(answer)):
        answer = _call(token, DOCUMENT, in_topic, file)
    return id_of_sent(chat_id, answer)


def _call(token: str, method: str, fields: Mapping[str, str], file: OutboundFile) -> Response:
    """One method that sends a file; its field is named as the method is: sendPhoto has `photo`."""
    if method == DOCUMENT:  # else Telegram would make a sticker of a WebP
        fields = {**fields, "disable_content_type_detection": "true"}
    body, headers = form(fields, method.removeprefix("send").lower(), file.filename, file.bare_mime, file.content)
    return call_with(token, method, body, headers, seconds_for(len(body)))
