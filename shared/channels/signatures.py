"""Comparing secrets and signatures: over the raw bytes, in constant time, and never equal where no secret is set."""

from __future__ import annotations

import hmac
from typing import Protocol


class Headers(Protocol):
    """The headers of a request, looked up whatever the case of their names."""

    def get(self, name: str, default: str, /) -> str:
        """A header's value, or the default."""


def constant_time_equal(received: str, secret: str) -> bool:
    """Whether two secrets are equal; False if there is none."""
    return bool(secret) and hmac.compare_digest(received.encode("utf-8", "replace"), secret.encode())


def hmac_matches(received: str, body: bytes, secret: str, algorithm: str) -> bool:
    """Whether a signature in hex is the body's HMAC with this secret; False if there is no secret."""
    return bool(secret) and constant_time_equal(received, hmac.new(secret.encode(), body, algorithm).hexdigest())
