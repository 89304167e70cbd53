"""Whether a webhook comes from the gateway of a session: by the session's own secret, or else by the environment's."""

from __future__ import annotations

from shared.channels.inbound import Headers
from shared.channels.whatsapp_qr.dialects import DIALECTS, dialect
from shared.config import settings
from shared.db.credentials import decrypt
from shared.models import WhatsappQrSession


def is_authentic(session: WhatsappQrSession | None, headers: Headers, body: bytes | memoryview) -> bool:
    """Whether a webhook proves a secret in the session's dialect, or in any if the session is unknown; never without a secret."""
    dialects = [dialect(session.dialect)] if session else DIALECTS.values()
    secret = _secret(session)
    return any(one.verify(headers, body, secret) for one in dialects)


def shows_proof(headers: Headers) -> bool:
    """Whether there is anything that could prove a secret: else the body needs no reading."""
    return any(headers.get(name, "") for name in ("X-Webhook-Hmac", "apikey", "Authorization"))


def _secret(session: WhatsappQrSession | None) -> str:
    if session is None or not session.webhook_secret:
        return settings().qr_webhook_secret
    return decrypt(session.webhook_secret, f"the hook of QR session {session.session_name}")
