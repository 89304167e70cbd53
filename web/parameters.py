"""What a request says beside its body: numbers and dates of the query, and the Idempotency-Key. Each problem names itself."""

from __future__ import annotations

import re
from datetime import date

from flask import request
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from shared.payloads import MAX_ROW_ID

#: With a visitor's id before it, a key has to fit into an external id's 255 characters.
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def number(name: str, default: int | None, least: int = 1, most: int = MAX_ROW_ID) -> int | None:
    """A whole number of the query. Raises BadRequest."""
    given = request.args.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= most):
        raise BadRequest(f"{name}: got {given[:40]!r}; want a whole number from {least} to {most}")
    return int(given)


def day(name: str, default: date) -> date:
    """A date of the query. Raises BadRequest."""
    given = request.args.get(name)
    if given is None:
        return default
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", given, re.ASCII):
            raise ValueError
        return date.fromisoformat(given)
    except ValueError:
        raise BadRequest(f"{name}: got {given[:40]!r}; want a date like 2026-11-24") from None


def idempotency_key() -> str | None:
    """The header Idempotency-Key. Raises BadRequest."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key: want 1 to 200 printable ASCII characters without spaces")
    return key


def used_otherwise() -> UnprocessableEntity:
    """For a key that comes again with another content (draft-ietf-httpapi-idempotency-key-header, section 2.7)."""
    return UnprocessableEntity("this Idempotency-Key was used for another content; want a new key for a new message")
