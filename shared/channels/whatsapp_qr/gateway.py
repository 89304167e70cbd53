"""WhatsApp by QR code: a gateway that holds the phone's session. A dialect is one class: WAHA, Evolution API v2.

Sources: WAHA's OpenAPI 2026.7; Evolution API 2.3. Reply to the chat id that was received (@c.us, @lid, @s.whatsapp.net);
never rebuild it from digits.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from shared.config import settings
from shared.errors import PermanentError, Snooze
from shared.http import Response, get, post

#: Seconds to wait for a session that is not connected.
SESSION_DOWN = 15.0
#: How the gateways call a session that can send.
WAHA_CONNECTED, EVOLUTION_CONNECTED = "WORKING", "open"
#: How WAHA's engines decorate a message's id: whether we sent it, and the chat, which may be @c.us for the send and @lid for
#: its acks. WhatsApp's own id is what both have in common.
_DECORATED = re.compile(r"(?:true|false)_[^_@]+@[^_]+_([^_]+)(?:_.*)?")
#: What Evolution (Baileys) says in a 400 when its phone is not connected; `number` is not to blame.
_CLOSED = ("connection closed", "not connected", "connection terminated", "timed out")


class GatewayError(Exception):
    """The gateway failed; it may do better next time."""


@dataclass(frozen=True)
class SessionState:
    """Whether a session can send; `detail` is the gateway's own word for it."""

    connected: bool
    detail: str


class QrGateway(Protocol):
    """What a dialect must know."""

    def expected_ids(self, chat_id: str, message_id: int) -> list[str]:
        """The ids that the gateway may give our message, known before it is sent; none if it makes its own."""

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int) -> str:
        """Sends a text; returns the gateway's id. Raises Snooze, PermanentError, GatewayError, and shared.http's."""

    def session_state(self, session: str, api_key: str) -> SessionState:
        """Asks for a session's state. Raises what shared.http raises."""


class Waha:
    """https://waha.devlike.pro"""

    def _own_id(self, message_id: int) -> str:
        # The same id for each attempt: WAHA takes it as the message's, so acks can be matched to our row.
        return "3EB0" + hashlib.sha256(f"switchboard:{message_id}".encode()).hexdigest()[:18].upper()

    def expected_ids(self, chat_id: str, message_id: int) -> list[str]:  # noqa: ARG002 - QrGateway's signature
        """Ours, bare: acks are compared without what engines add."""
        return [self._own_id(message_id)]

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int) -> str:
        """POST /api/sendText."""
        conf = settings()
        body = {"session": session, "chatId": _chat(chat_id), "text": text, "linkPreview": False, "id": self._own_id(message_id)}
        headers = {"X-Api-Key": api_key} if api_key else {}
        answer = post(f"{conf.qr_service_url}/api/sendText", json.dumps(body).encode(), headers, conf.http_timeout)
        if not answer.ok:
            raise _classify_error(answer)
        return bare_id(_id_in(answer.json()) or self._own_id(message_id))

    def session_state(self, session: str, api_key: str) -> SessionState:
        """GET /api/sessions/{session}."""
        headers = {"X-Api-Key": api_key} if api_key else {}
        answer = _ask(f"/api/sessions/{quote(session, safe='')}", headers)
        status = str(answer.json().get("status", f"HTTP {answer.status}")) if answer.ok else f"HTTP {answer.status}"
        return SessionState(status == WAHA_CONNECTED, status)


class Evolution:
    """https://github.com/EvolutionAPI/evolution-api, version 2."""

    def expected_ids(self, chat_id: str, message_id: int) -> list[str]:  # noqa: ARG002 - QrGateway's signature
        """None: Evolution makes its own and tells them with the answer only."""
        return []

    def send_text(self, session: str, api_key: str, chat_id: str, text: str, message_id: int) -> str:  # noqa: ARG002 - as above
        """POST /message/sendText/{instance}. 201 with PENDING is acceptance; a messages.update tells more."""
        conf = settings()
        body = {"number": chat_id.lstrip("+"), "text": text, "linkPreview": False}
        url = f"{conf.qr_service_url}/message/sendText/{quote(session, safe='')}"
        answer = post(url, json.dumps(body).encode(), {"apikey": api_key} if api_key else {}, conf.http_timeout)
        if not answer.ok:
            raise _evolution_meaning(answer)
        return _id_in(answer.json()) or ""

    def session_state(self, session: str, api_key: str) -> SessionState:
        """GET /instance/connectionState/{instance}."""
        answer = _ask(f"/instance/connectionState/{quote(session, safe='')}", {"apikey": api_key} if api_key else {})
        instance = answer.json().get("instance")
        state = str(instance.get("state")) if isinstance(instance, dict) else f"HTTP {answer.status}"
        return SessionState(state == EVOLUTION_CONNECTED, state)


def _ask(path: str, headers: dict[str, str]) -> Response:
    conf = settings()
    answer = get(f"{conf.qr_service_url}{path}", headers, conf.http_timeout)
    return answer if isinstance(answer.json(), dict) else Response(answer.status, b"{}", answer.headers)


DIALECTS: dict[str, QrGateway] = {"waha": Waha(), "evolution": Evolution()}


def dialect(name: str) -> QrGateway:
    """The gateway of a session's dialect. Raises PermanentError for one that this version does not speak."""
    try:
        return DIALECTS[name]
    except KeyError:
        raise PermanentError(f"QR dialect {name!r} is not spoken here; want one of {', '.join(DIALECTS)}") from None


def bare_id(identity: str) -> str:
    """WhatsApp's id of a message, without what WAHA's engines put around it."""
    found = _DECORATED.fullmatch(identity)
    return found[1] if found else identity


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


def _classify_error(answer: Response) -> Exception:
    said = answer.json()
    words = answer.excerpt()
    if isinstance(said, dict):
        words = str(said.get("message") or said.get("error") or words)
    text = f"WhatsApp QR: HTTP {answer.status}, {words}"
    if answer.status == 422 and isinstance(said, dict) and "status" in said:
        return Snooze(SESSION_DOWN, f"{text} (session is {said['status']})")
    if answer.status == 429:
        return Snooze(answer.retry_after(5.0), text)
    return GatewayError(text) if answer.status >= 500 or answer.status == 408 else PermanentError(text)


def _evolution_meaning(answer: Response) -> Exception:
    """400 is final only where Evolution says that the number does not exist: every trouble of the phone is a 400 as well."""
    said = answer.json()
    told = said.get("response") if isinstance(said, dict) else None
    messages = told.get("message") if isinstance(told, dict) else None
    listed = messages if isinstance(messages, list) else [messages]
    if any(isinstance(item, dict) and item.get("exists") is False for item in listed):
        return PermanentError(f"WhatsApp QR: HTTP {answer.status}, the number is not on WhatsApp (exists: false)")
    text = f"WhatsApp QR: HTTP {answer.status}, {'; '.join(str(item) for item in listed if item) or answer.excerpt()}"
    if answer.status == 429:
        return Snooze(answer.retry_after(5.0), text)
    if answer.status == 400 and any(words in text.lower() for words in _CLOSED):
        return Snooze(SESSION_DOWN, text)
    return PermanentError(text) if answer.status in (401, 403, 404) else GatewayError(text)
