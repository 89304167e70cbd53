"""Evolution API v2's webhooks, read: messages.upsert, messages.update, connection.update. Source: Evolution API 2.3."""

from __future__ import annotations

from typing import Any

from shared.channels.inbound import DeliveryStatus, InboundMessage, MalformedItem, get_path, objects, text
from shared.channels.whatsapp_qr.gateway import EVOLUTION_CONNECTED
from shared.channels.whatsapp_qr.parse import Reader, SessionNews, described, is_crowd

_STATUSES = {"SERVER_ACK": "SENT", "DELIVERY_ACK": "DELIVERED", "READ": "READ", "PLAYED": "READ", "ERROR": "FAILED"}
#: Where WhatsApp's own protocol keeps the words of a message.
_WORDS = (
    ("conversation",),
    ("extendedTextMessage", "text"),
    ("buttonsResponseMessage", "selectedDisplayText"),
    ("templateButtonReplyMessage", "selectedDisplayText"),
    ("listResponseMessage", "title"),
    ("imageMessage", "caption"),
    ("videoMessage", "caption"),
    ("documentMessage", "caption"),
)
#: Messages within messages: disappearing ones, those to be seen once, files with captions.
_WRAPPERS = ("ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "documentWithCaptionMessage")
#: What nobody waits for an answer to.
_SILENT = frozenset({"reactionMessage", "protocolMessage", "pollUpdateMessage", "senderKeyDistributionMessage", "editedMessage"})
_TEXTS = frozenset({"conversation", "extendedTextMessage", "buttonsResponseMessage", "templateButtonReplyMessage"})


def read(body: dict[str, Any]) -> list[tuple[dict[str, Any], Reader]]:
    """The event's items, and who reads them; none for events that we have no use for."""
    event = text(body.get("event")).lower().replace("_", ".")
    reader, data = _READERS.get(event), body.get("data")
    if reader is None:
        return []
    if not isinstance(data, dict | list):
        raise MalformedItem(f"{event}: data is no object")
    return [(raw, reader) for raw in objects(data if isinstance(data, list) else [data])]


def _message(data: dict[str, Any]) -> InboundMessage | None:
    chat, identity = text(get_path(data, "key", "remoteJid")), text(get_path(data, "key", "id"))
    if get_path(data, "key", "fromMe") or is_crowd(chat):
        return None
    if not chat or not identity:
        raise MalformedItem("a message without " + ("key.id" if chat else "key.remoteJid"))
    said = _unwrapped(data.get("message"))
    words = next((found for path in _WORDS if (found := text(get_path(said, *path)))), "")
    kind = next((name for name in said if name.endswith("Message") and name not in _TEXTS), "")
    if not words and (not kind or kind in _SILENT):
        return None
    return described(chat, words, identity, kind.removesuffix("Message")[:40], text(data.get("pushName")))


def _unwrapped(message: Any) -> dict[str, Any]:
    for _ in _WRAPPERS:
        inner = next((get_path(message, name, "message") for name in _WRAPPERS if get_path(message, name, "message")), None)
        if inner is None:
            break
        message = inner
    return message if isinstance(message, dict) else {}


def _update(data: dict[str, Any]) -> DeliveryStatus | None:
    identity = text(data.get("keyId")) or text(get_path(data, "key", "id"))
    said = text(data.get("status")) or text(get_path(data, "update", "status"))
    if not identity:
        raise MalformedItem("messages.update without keyId")
    if data.get("fromMe") is False or said not in _STATUSES:
        return None
    return DeliveryStatus(
        _STATUSES[said], identity, None, "WhatsApp QR: the gateway reports an error" if said == "ERROR" else None
    )


def _connection(data: dict[str, Any]) -> SessionNews:
    state = text(data.get("state"))
    if not state:
        raise MalformedItem("connection.update without state")
    return SessionNews(state == EVOLUTION_CONNECTED, state)


_READERS: dict[str, Reader] = {"messages.upsert": _message, "messages.update": _update, "connection.update": _connection}
