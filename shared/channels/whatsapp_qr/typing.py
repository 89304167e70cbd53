"""Read marks and typing of the QR gateways.

Source: WAHA's OpenAPI 2026.7, Evolution API 2.3. After typing a WAHA session is set offline again: while it is online, its
owner's phone gets no notifications.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure
from shared.http import post

#: Seconds: what comes later than that is of no use.
TIMEOUT = 5.0
#: Milliseconds for which Evolution shows that somebody types; it answers when they are over.
EVOLUTION_SHOWS = 3_000


def begin(target: Mapping[str, Any]) -> None:
    """Marks a message as read and shows that somebody types. Raises what shared.http raises, OutsideFailure."""
    read(target)
    if target["dialect"] == "evolution":
        presence = {"number": target["chat_id"].lstrip("+"), "presence": "composing", "delay": EVOLUTION_SHOWS}
        _call(f"/chat/sendPresence/{_instance(target)}", presence, _evolution_headers(target))
    else:
        _call("/api/startTyping", _waha_chat(target), _waha_headers(target))


def read(target: Mapping[str, Any]) -> None:
    """Marks a message as read. Raises what shared.http raises, OutsideFailure."""
    if target["dialect"] == "waha":
        _call("/api/sendSeen", _waha_chat(target), _waha_headers(target))
    elif target["message_id"]:
        chat = target["chat_id"].lstrip("+")
        jid = chat if "@" in chat else f"{chat}@s.whatsapp.net"
        message = {"remoteJid": jid, "fromMe": False, "id": target["message_id"]}
        _call(f"/chat/markMessageAsRead/{_instance(target)}", {"readMessages": [message]}, _evolution_headers(target))


def end(target: Mapping[str, Any]) -> None:
    """Nobody types any longer. Evolution ends it by itself."""
    if target["dialect"] == "waha":
        _call("/api/stopTyping", _waha_chat(target), _waha_headers(target))
        _call(f"/api/{_instance(target)}/presence", {"presence": "offline"}, _waha_headers(target))


def _waha_chat(target: Mapping[str, Any]) -> dict[str, Any]:
    chat = target["chat_id"]
    return {"session": target["account"], "chatId": chat if "@" in chat else f"{chat.lstrip('+')}@c.us"}


def _waha_headers(target: Mapping[str, Any]) -> dict[str, str]:
    key = _key(target)
    return {"X-Api-Key": key} if key else {}


def _evolution_headers(target: Mapping[str, Any]) -> dict[str, str]:
    key = _key(target)
    return {"apikey": key} if key else {}


def _instance(target: Mapping[str, Any]) -> str:
    return quote(target["account"], safe="")


def _key(target: Mapping[str, Any]) -> str:
    return decrypt(target["secret"], f"QR session {target['account']}") if target["secret"] else settings().qr_api_key


def _call(path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
    answer = post(f"{settings().qr_service_url}{path}", json.dumps(body).encode(), headers, TIMEOUT, needs_body=False)
    if not answer.ok:
        raise OutsideFailure(f"WhatsApp QR: HTTP {answer.status}")
