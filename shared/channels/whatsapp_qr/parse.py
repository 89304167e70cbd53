"""A gateway's webhook, parsed in the dialect of its session."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.channels.inbound import InboundBatch, InboundEdit, InboundItem, InboundMessage, get_text, get_time
from shared.channels.whatsapp_qr.dialects import DIALECTS, dialect
from shared.models import WhatsappQrSession

#: Characters of a session's name that are kept where nobody has it.
MAX_NAME = 100


def is_of_another_session(session: WhatsappQrSession | None, session_name: str, body: dict[str, Any]) -> bool:
    """Whether a webhook names another session than its address: it was signed for that one, perhaps with a secret of both."""
    dialects = [dialect(session.dialect)] if session else DIALECTS.values()
    return any(one.named_session(body) not in ("", session_name) for one in dialects)


def parse_body(session: WhatsappQrSession | None, session_name: str, body: dict[str, Any]) -> InboundBatch:
    """What a webhook reports of a session; no items if the session, and so its dialect, is unknown."""
    items = dialect(session.dialect).parse(body) if session else []
    reported_at = _reported_at(body)
    dated = [_dated(item, reported_at) for item in items]
    return InboundBatch(session_name[:MAX_NAME], dated, body)


def _reported_at(body: dict[str, Any]) -> float | None:
    """When the gateway made the event, by its own clock (WAHA, Evolution): a message's age is the time between the two."""
    try:
        return get_time(body.get("timestamp")) or datetime.fromisoformat(get_text(body, "date_time")).timestamp()
    except (ValueError, OverflowError):
        return None


def _dated(item: InboundItem, reported_at: float | None) -> InboundItem:
    if isinstance(item, InboundMessage):
        return replace(item, reported_at=reported_at)
    if isinstance(item, InboundEdit) and item.message is not None:
        return replace(item, message=replace(item.message, reported_at=reported_at))
    return item
