"""Credentials at rest: encrypted with CREDENTIALS_KEY, one or more Fernet keys, the newest first, by commas.

To replace a key, put the new one in front, run `scripts/keys rotate-credentials`, and take the old one away (scripts/README.md).
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from shared.config import settings
from shared.errors import PermanentError


class CredentialsUnreadable(PermanentError):
    """No key of CREDENTIALS_KEY opens a stored secret. The text says whose it is."""


@lru_cache(maxsize=4)
def _vault(keys: str) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys.split(",")])


def encrypt(secret: str) -> str:
    """The secret as it is stored."""
    return _vault(settings().credentials_key).encrypt(secret.encode()).decode()


def with_newest_key(stored: str, whose: str) -> str:
    """The same secret, encrypted with the newest key; `stored` itself if it is already. Raises as decrypt does."""
    keys = settings().credentials_key
    try:
        _vault(keys.partition(",")[0]).decrypt(stored)
    except InvalidToken:
        return encrypt(decrypt(stored, whose))
    return stored


@lru_cache(maxsize=4096)
def _decrypt(keys: str, stored: str) -> str:
    return _vault(keys).decrypt(stored).decode()


def decrypt(stored: str, whose: str) -> str:
    """The secret again. Raises CredentialsUnreadable when no key of ours opens it."""
    try:
        return _decrypt(settings().credentials_key, stored)
    except InvalidToken:
        raise CredentialsUnreadable(
            f"the credentials of {whose} cannot be decrypted: CREDENTIALS_KEY changed? Store them again"
        ) from None


def digest(token: str) -> str:
    """What is kept of a token with 256 random bits, which only has to be recognised: its SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def constant_time_equal(received: str, secret: str) -> bool:
    """Whether two secrets are equal; False if there is none."""
    return bool(secret) and hmac.compare_digest(received.encode("utf-8", "replace"), secret.encode())


def hmac_matches(received: str, body: bytes | memoryview, secret: str, algorithm: str) -> bool:
    """Whether a signature in hex is the body's HMAC with this secret; False if there is no secret."""
    return bool(secret) and constant_time_equal(received, hmac.new(secret.encode(), body, algorithm).hexdigest())
