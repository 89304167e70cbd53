"""WhatsApp by QR code: a gateway that holds the phone's session. WAHA speaks first; a dialect is one class.

Source: WAHA's OpenAPI 2026.7. Reply to the chat id that was received (@c.us, @lid); never rebuild it from digits.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

from shared.config import settings
from shared.errors import Later, Permanent
from shared.http import Answer, post

#: Seconds to wait for a session that is not connected.
SESSION_DOWN = 15.0


class GatewayTrouble(Exception):
    """The gateway failed; it may do better next time."""


class QrGateway(Protocol):
    """What a dialect must know."""

    def expected_ids(self, chat_id: str, message_id: int) -> list[str]:
        """The ids that the gateway may give our message, known before it is sent; none if it makes its own."""

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int) -> str:
        """Sends a text; returns the gateway's id. Raises Later, Permanent, GatewayTrouble, and shared.http's."""


class Waha:
    """https://waha.devlike.pro"""

    def _own_id(self, message_id: int) -> str:
        # The same id for each attempt: WAHA takes it as the message's, so acks can be matched to our row.
        return "3EB0" + hashlib.sha256(f"switchboard:{message_id}".encode()).hexdigest()[:18].upper()

    def expected_ids(self, chat_id: str, message_id: int) -> list[str]:
        """Bare, and as engines decorate it."""
        own = self._own_id(message_id)
        return [own, f"true_{_chat(chat_id)}_{own}"]

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int) -> str:
        """POST /api/sendText."""
        conf = settings()
        body = {"session": session, "chatId": _chat(chat_id), "text": text, "linkPreview": False, "id": self._own_id(message_id)}
        headers = {"X-Api-Key": api_key} if api_key else {}
        answer = post(f"{conf.qr_service_url}/api/sendText", json.dumps(body).encode(), headers, conf.http_timeout)
        if not answer.ok:
            raise _meaning(answer)
        return _id_in(answer.json()) or self.expected_ids(chat_id, message_id)[-1]  # as its acks will call it


DIALECTS: dict[str, QrGateway] = {"waha": Waha()}


def dialect(name: str) -> QrGateway:
    """The gateway of a session's dialect. Raises Permanent for one that this version does not speak."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise Permanent(f"QR dialect {name!r} is not spoken here; want one of {', '.join(DIALECTS)}") from None


def _chat(chat_id: str) -> str:
    return chat_id if "@" in chat_id else f"{chat_id.lstrip('+')}@c.us"


def _id_in(said: Any) -> str | None:
    """The message id, wherever the engine put it: id, id._serialized, key.id, _data.id."""
    if not isinstance(said, dict):
        return None
    for found in (said.get("id"), said.get("key"), said.get("_data")):
        if isinstance(found, str) and found:
            return found
        if isinstance(found, dict):
            inner = found.get("_serialized") or found.get("id")
            if inner:
                return inner if isinstance(inner, str) else _id_in({"id": inner})
    return None


def _meaning(answer: Answer) -> Exception:
    said = answer.json()
    words = answer.excerpt()
    if isinstance(said, dict):
        words = str(said.get("message") or said.get("error") or words)
    text = f"WhatsApp QR: HTTP {answer.status}, {words}"
    if answer.status == 422 and isinstance(said, dict) and "status" in said:
        return Later(SESSION_DOWN, f"{text} (session is {said['status']})")
    if answer.status == 429:
        return Later(answer.retry_after(5.0), text)
    return GatewayTrouble(text) if answer.status >= 500 or answer.status == 408 else Permanent(text)
