"""How a customer knows that a webhook is ours: Standard Webhooks beside our own X-Webhook headers.

Source: https://github.com/standard-webhooks/standard-webhooks. The signature is over the exact bytes sent.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from secrets import token_bytes

from standardwebhooks import Webhook

#: Bytes of a new secret; the standard wants 24 to 64.
SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh endpoint secret, `whsec_…`."""
    return "whsec_" + base64.b64encode(token_bytes(SECRET_BYTES)).decode()


def event_id(row_id: int) -> str:
    """The event's public id, the same for every attempt."""
    return f"evt_{row_id}"


def headers(secrets: Sequence[str], row_id: int, event: str, attempt: int, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of one attempt, with a signature by each secret: a receiver may still have the one before."""
    return {
        "X-Webhook-Event": event,
        "X-Webhook-ID": event_id(row_id),
        "X-Webhook-Attempt": str(attempt),
        "webhook-id": event_id(row_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id(row_id), now, body.decode()) for secret in secrets),
    }
