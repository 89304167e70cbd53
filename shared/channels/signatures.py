"""Whether who calls a hook is who they say: over the raw bytes, in constant time, and closed where no secret is set."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time

#: Seconds by which a gateway's clock may differ from ours.
LEEWAY = 60


def constant_time_equal(given: str, wanted: str) -> bool:
    """Whether two secrets are equal; False if there is none."""
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def meta_signed(header: str, body: bytes, secret: str) -> bool:
    """`X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 with the app's secret."""
    return bool(secret) and constant_time_equal(header, "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest())


def waha_signed(header: str, body: bytes, secret: str) -> bool:
    """`X-Webhook-Hmac: <hex>`, HMAC-SHA512 with the session's key."""
    return bool(secret) and constant_time_equal(header.lower(), hmac.new(secret.encode(), body, "sha512").hexdigest())


def evolution_authorised(apikey: str, authorization: str, secret: str) -> bool:
    """The secret in the header `apikey` or as a bearer token, or a JWT (HS256) that is signed with it."""
    scheme, _, token = authorization.partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return constant_time_equal(apikey, secret) or constant_time_equal(bearer, secret) or jwt_valid(bearer, secret)


def jwt_valid(token: str, secret: str) -> bool:
    """Whether a JWT is signed by HS256 with this secret (no other algorithm counts) and has not expired."""
    head, dot, signature = token.rpartition(".")
    if not (secret and dot and head.count(".") == 1):
        return False
    try:
        header, claims = (json.loads(_decoded(part)) for part in head.split("."))
        given = _decoded(signature)
        expires = float(claims.get("exp", 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        return False
    right = hmac.digest(secret.encode(), head.encode(), "sha256")
    return header.get("alg") == "HS256" and hmac.compare_digest(given, right) and time.time() < expires + LEEWAY


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
