"""Webhooks as Meta, WAHA and Evolution send them to the front door: what they report, and how they sign it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any


def meta_report(number: str, **value: Any) -> dict[str, Any]:
    """What happened to a number of Meta's: `messages`, `statuses`."""
    about = {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "551130001000", "phone_number_id": number}}
    changes = [{"field": "messages", "value": {**about, **value}}]
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}


def meta_message(
    number: str, user: str, who: str, text: str, external_id: str, sends: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A text, or what `sends` says instead."""
    content = sends or {"type": "text", "text": {"body": text}}
    message = {"from": user, "id": external_id, "timestamp": str(int(time.time())), **content}
    return meta_report(number, contacts=[{"profile": {"name": who}, "wa_id": user}], messages=[message])


def signed_by_meta(body: bytes, secret: str) -> dict[str, str]:
    """The header with Meta's signature."""
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def signed_by_gateway(dialect: str, body: bytes, secret: str) -> dict[str, str]:
    """The header of a QR gateway: WAHA signs, Evolution shows the secret."""
    if dialect == "evolution":
        return {"apikey": secret}
    return {"X-Webhook-Hmac": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()}
