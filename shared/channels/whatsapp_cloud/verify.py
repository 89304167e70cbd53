"""Whether a webhook is Meta's: `X-Hub-Signature-256: sha256=<hex>`, the body's HMAC-SHA256 with the app's secret."""

from __future__ import annotations

from shared.channels.signatures import Headers, constant_time_equal, hmac_matches
from shared.config import settings

SIGNATURE = "X-Hub-Signature-256"


def is_signed(headers: Headers, body: bytes) -> bool:
    """Whether the signature is right; never without WHATSAPP_APP_SECRET."""
    scheme, _, signature = headers.get(SIGNATURE, "").partition("=")
    return scheme == "sha256" and hmac_matches(signature, body, settings().whatsapp_app_secret, "sha256")


def is_verify_token(token: str) -> bool:
    """Whether Meta shows the token that was entered beside the address; never without WHATSAPP_VERIFY_TOKEN."""
    return constant_time_equal(token, settings().whatsapp_verify_token)
