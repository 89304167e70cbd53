"""Keys that are made of CREDENTIALS_KEY, each for one purpose."""

from __future__ import annotations

import hmac

from shared.config import settings


def derived_keys(purpose: bytes) -> list[bytes]:
    """Newest first, as CREDENTIALS_KEY has them: what one made outlives the first rotation, and ends when it is dropped."""
    return [hmac.digest(key.strip().encode(), purpose, "sha256") for key in settings().credentials_key.split(",")]
