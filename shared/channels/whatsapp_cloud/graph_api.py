"""Meta's Graph API: one text to one WhatsApp number, and what its error codes mean.

Source: Meta's Cloud API reference, messages and error codes. Branch on `code`, never on titles.
"""

from __future__ import annotations

import json
import re

from shared.config import settings
from shared.errors import PermanentError, Snooze
from shared.http import Response, post

#: Characters of one message (code 100 for more); counted in UTF-16 units, so that it holds either way.
MAX_TEXT = 4_096
#: code -> seconds to stay away. 131056 is Meta's pair limit of one message in 6 s to the same person.
THROTTLED = {130429: 5.0, 131056: 6.0, 131057: 30.0, 80007: 30.0, 4: 30.0}
#: Codes that a later try may not meet, though the HTTP status says 4xx.
TRANSIENT = {1, 2, 131000, 131016, 131053}
_PHONE = re.compile(r"^\+?\d+$")


class GraphApiError(Exception):
    """Meta failed; it may do better next time."""


def callback_id(message_id: int, part: int | None = None) -> str:
    """Our id in Meta's status webhooks (`biz_opaque_callback_data`); an earlier part's is nobody's, for the last one counts."""
    return f"msg_{message_id}" if part is None else f"msg_{message_id}/{part}"


def send_text(phone_number_id: str, token: str, recipient: str, text: str, callback: str) -> str:
    """Sends a text of up to MAX_TEXT; returns the wamid. `recipient` is a phone number or a business-scoped user id (BR.123).

    Raises Snooze, PermanentError, GraphApiError, and what shared.http raises.
    """
    conf = settings()
    who = {"to": recipient} if _PHONE.match(recipient) else {"recipient": recipient}
    body = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **who,
        "type": "text",
        "text": {"preview_url": False, "body": text},
        "biz_opaque_callback_data": callback,
    }
    url = f"{conf.graph_url}/{conf.graph_version}/{phone_number_id}/messages"
    answer = post(url, json.dumps(body).encode(), {"Authorization": f"Bearer {token}"}, conf.http_timeout)
    if not answer.ok:
        raise _classify_error(answer)
    return _wamid(answer)


def _wamid(answer: Response) -> str:
    try:
        return str(answer.json()["messages"][0]["id"])
    except (KeyError, IndexError, TypeError):
        # 2xx: Meta has it, whatever else it said. Sending again would be a second message.
        return ""


def _classify_error(answer: Response) -> Exception:
    said = answer.json()
    error = said.get("error") if isinstance(said, dict) else None
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    details = (error.get("error_data") or {}).get("details") if isinstance(error.get("error_data"), dict) else None
    words = ": ".join(str(part) for part in (error.get("message"), details) if part) or answer.excerpt()
    text = f"WhatsApp Cloud: HTTP {answer.status}, code {code}, {words}"
    if code in THROTTLED or answer.status == 429:
        return Snooze(answer.retry_after(THROTTLED.get(code or 0, 5.0)), text)
    if answer.status >= 500 or code in TRANSIENT or not error:
        return GraphApiError(text)
    return PermanentError(text)
