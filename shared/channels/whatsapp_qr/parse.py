"""A gateway's webhook, parsed in the dialect of its session."""

from __future__ import annotations

from typing import Any

from shared.channels.inbound import InboundBatch
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
    return InboundBatch(session_name[:MAX_NAME], items, body)
