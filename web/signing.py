"""Signatures with a time, which machines with different clocks check."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer


class Signer(TimestampSigner):
    """Takes a signature of the future for a new one.

    itsdangerous refuses it: whoever logs in at one machine would be logged out by each other one whose clock is a second behind.
    """

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        """The value, and when it was signed if that is asked for. Raises BadSignature."""
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        if max_age is not None and self._now() - signed_at > timedelta(seconds=max_age):
            raise SignatureExpired("older than it may be", payload=value, date_signed=signed_at)
        return (value, signed_at) if return_timestamp else value

    def _now(self) -> datetime:
        return self.timestamp_to_datetime(self.get_timestamp())


class Serializer(URLSafeTimedSerializer):
    """Values with such a signature, as texts for addresses and forms."""

    default_signer = Signer
