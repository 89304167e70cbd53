"""Credentials at rest: encrypted with CREDENTIALS_KEY, one or more Fernet keys, the newest first, by commas.

Make a key: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"
"""

from __future__ import annotations

import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from shared.config import settings
from shared.errors import PermanentError


class InvalidCredentialsKey(ValueError):
    """CREDENTIALS_KEY holds something that is no key."""


@lru_cache(maxsize=4)
def _vault(keys: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
    except ValueError:
        raise InvalidCredentialsKey("CREDENTIALS_KEY: want 32 url-safe base64 bytes (Fernet keys, separated by commas)") from None


def encrypt(secret: str) -> str:
    """The secret as it is stored."""
    return _vault(settings().credentials_key).encrypt(secret.encode()).decode()


@lru_cache(maxsize=4096)
def _decrypt(keys: str, stored: str) -> str:
    return _vault(keys).decrypt(stored).decode()


def decrypt(stored: str, whose: str) -> str:
    """The secret again. Raises PermanentError, naming whose it is, when no key of ours opens it."""
    try:
        return _decrypt(settings().credentials_key, stored)
    except InvalidToken:
        raise PermanentError(
            f"the credentials of {whose} cannot be decrypted: CREDENTIALS_KEY changed? Store them again"
        ) from None


def constant_time_equal(received: str, secret: str) -> bool:
    """Whether two secrets are equal; False if there is none."""
    return bool(secret) and hmac.compare_digest(received.encode("utf-8", "replace"), secret.encode())


def hmac_matches(received: str, body: bytes, secret: str, algorithm: str) -> bool:
    """Whether a signature in hex is the body's HMAC with this secret; False if there is no secret."""
    return bool(secret) and constant_time_equal(received, hmac.new(secret.encode(), body, algorithm).hexdigest())
