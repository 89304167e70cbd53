"""One call of Meta's Graph API: a message to a WhatsApp user. What its errors do to the send is in errors.py.

Source: Meta's Cloud API reference, messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.channels.inbound import get_id, get_objects, get_path
from shared.channels.whatsapp_cloud.errors import classify_error
from shared.config import settings
from shared.http import Response, post

#: Characters of one message (code 100 for more); counted in UTF-16 units, so that it holds either way.
MAX_TEXT = 4_096
#: The members of a message that depend on what it is.
Content = dict[str, Any]
_PHONE = re.compile(r"^\+?\d+$")


def callback_id(message_id: int, part: int | None = None) -> str:
    """Our id in Meta's status webhooks (`biz_opaque_callback_data`). Of a message in parts only the last one's counts."""
    return f"msg_{message_id}" if part is None else f"msg_{message_id}/{part}"


def as_text(text: str) -> Content:
    """A text of up to MAX_TEXT."""
    return {"type": "text", "text": {"preview_url": False, "body": text}}


def as_template(template: Mapping[str, Any]) -> Content:
    """A template with its parameters, as shared/channels/whatsapp_cloud/templates.py made it."""
    wire = {"name": template["name"], "language": {"code": template["language"]}, "components": template["components"]}
    return {"type": "template", "template": wire}


def send_message(phone_number_id: str, token: str, recipient: str, content: Content, callback: str) -> str:
    """Sends it; returns the wamid. `recipient` is a phone number or a business-scoped user id (BR.123).

    Raises what `outcomes.error_of` gives, and what shared.http raises.
    """
    body = {
        "recipient_type": "individual",
        "to" if _PHONE.match(recipient) else "recipient": recipient,
        **content,
        "biz_opaque_callback_data": callback,
    }
    return _wamid(post_message(phone_number_id, token, body, settings().http_timeout))


def post_message(phone_number_id: str, token: str, body: Mapping[str, Any], timeout: float) -> Response:
    """One call of a number's `messages`, which takes read marks as well. `timeout` in seconds. Raises as `send_message`."""
    conf = settings()
    url = f"{conf.graph_url}/{conf.graph_version}/{phone_number_id}/messages"
    content = json.dumps({"messaging_product": "whatsapp", **body}).encode()
    answer = as_it_says(post(url, content, {"Authorization": f"Bearer {token}"}, timeout, needs_body=False))
    if not answer.ok:
        raise classify_error(answer)
    return answer


def as_it_says(answer: Response) -> Response:
    """The answer, as a refusal if that is what it says: a provider between Meta and us may answer 200 to everything."""
    if not answer.ok or b'"error"' not in answer.body:
        return answer
    body = answer.json()
    is_refused = isinstance(get_path(body, "error"), dict) and not get_path(body, "messages")
    return replace(answer, status=400) if is_refused else answer


def _wamid(answer: Response) -> str:
    """Meta's id of it; "" if it names none. It accepted the message all the same: sending again would be a second one."""
    return next((found for one in get_objects(get_path(answer.json(), "messages")) if (found := get_id(one, "id"))), "")
