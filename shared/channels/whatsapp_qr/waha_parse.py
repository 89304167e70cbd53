"""WAHA's webhooks, read: message, message.any, message.ack, session.status. Source: WAHA's OpenAPI 2026.7."""

from __future__ import annotations

from typing import Any

from shared.channels.inbound import DeliveryStatus, InboundMessage, MalformedItem, get_path, text
from shared.channels.whatsapp_qr.gateway import WAHA_CONNECTED, bare_id
from shared.channels.whatsapp_qr.parse import Reader, SessionNews, described, is_crowd

_ACKS = {-1: "FAILED", 1: "SENT", 2: "DELIVERED", 3: "READ", 4: "READ"}


def read(body: dict[str, Any]) -> list[tuple[dict[str, Any], Reader]]:
    """The event's one item, and who reads it; none for events that we have no use for."""
    payload = body.get("payload")
    reader = _READERS.get(text(body.get("event")))
    if reader is None:
        return []
    if not isinstance(payload, dict):
        raise MalformedItem(f"{body['event']}: payload is no object")
    return [({**payload, "timestamp_ms": body.get("timestamp")}, reader)]


def _message(payload: dict[str, Any]) -> InboundMessage | None:
    chat, identity = text(payload.get("from")), _identity(payload)
    if payload.get("fromMe") or is_crowd(chat):
        return None
    if not chat or not identity:
        raise MalformedItem("a message without " + ("id" if chat else "from"))
    said, attachment = text(payload.get("body")), _attachment(payload)
    if not said and not attachment:
        return None  # encryption notices, calls, edits: nobody said anything
    return described(chat, said, identity, attachment, text(get_path(payload, "_data", "notifyName")))


def _attachment(payload: dict[str, Any]) -> str:
    if payload.get("hasMedia"):
        return (text(get_path(payload, "media", "mimetype")).split("/")[0] or "media")[:40]
    return next((name for name in ("location", "vCards", "poll") if payload.get(name)), "")


def _identity(payload: dict[str, Any]) -> str:
    identity = payload.get("id")
    return text(get_path(identity, "_serialized")) or text(identity)


def _ack(payload: dict[str, Any]) -> DeliveryStatus | None:
    ack, identity = payload.get("ack"), _identity(payload)
    if not identity or not isinstance(ack, int):
        raise MalformedItem("message.ack without " + ("ack" if identity else "id"))
    if payload.get("fromMe") is False or ack not in _ACKS:
        return None
    return DeliveryStatus(_ACKS[ack], bare_id(identity), None, "WhatsApp QR: the gateway reports an error" if ack < 0 else None)


def _session(payload: dict[str, Any]) -> SessionNews:
    state, at = text(payload.get("status")), payload.get("timestamp_ms")
    if not state:
        raise MalformedItem("session.status without status")
    return SessionNews(state == WAHA_CONNECTED, state, at / 1000 if isinstance(at, int) and 0 < at < 1e14 else None)


_READERS: dict[str, Reader] = {"message": _message, "message.any": _message, "message.ack": _ack, "session.status": _session}
