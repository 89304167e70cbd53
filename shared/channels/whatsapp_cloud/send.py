"""One call of Meta's Graph API: a text to a WhatsApp user. What its errors do to the send is in errors.py.

Source: Meta's Cloud API reference, messages.
"""

from __future__ import annotations

import json
import re

from shared.channels.whatsapp_cloud.errors import classify_error
from shared.config import settings
from shared.http import Response, post

#: Characters of one message (code 100 for more); counted in UTF-16 units, so that it holds either way.
MAX_TEXT = 4_096
_PHONE = re.compile(r"^\+?\d+$")


def callback_id(message_id: int, part: int | None = None) -> str:
    """Our id in Meta's status webhooks (`biz_opaque_callback_data`). Of a message in parts only the last one's counts."""
    return f"msg_{message_id}" if part is None else f"msg_{message_id}/{part}"


def send_text(phone_number_id: str, token: str, recipient: str, text: str, callback: str) -> str:
    """Sends a text of up to MAX_TEXT; returns the wamid. `recipient` is a phone number or a business-scoped user id (BR.123).

    Raises what `outcomes.error_of` gives, and what shared.http raises.
    """
    conf = settings()
    body = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to" if _PHONE.match(recipient) else "recipient": recipient,
        "type": "text",
        "text": {"preview_url": False, "body": text},
        "biz_opaque_callback_data": callback,
    }
    url = f"{conf.graph_url}/{conf.graph_version}/{phone_number_id}/messages"
    headers = {"Authorization": f"Bearer {token}"}
    answer = post(url, json.dumps(body).encode(), headers, conf.http_timeout, needs_body=False)
    if not answer.ok:
        raise classify_error(answer)
    return _wamid(answer)


def _wamid(answer: Response) -> str:
    try:
        return str(answer.json()["messages"][0]["id"])
    except (KeyError, IndexError, TypeError):
        # 2xx: Meta accepted it, whatever else it answered. Sending again would be a second message.
        return ""
