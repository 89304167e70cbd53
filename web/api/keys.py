"""Keys of businesses' servers: `sk_` and 256 random bits, shown once; the database has only their SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from shared import db

_KEY = re.compile(r"sk_[\w-]{43}", re.ASCII)

_OWNER = "select id, customer_id from api_key where hash = %s and revoked_at is null"
_CREATE = """
    insert into api_key (customer_id, name, hash)
    select id, %(name)s, %(hash)s from customer where id = %(customer_id)s returning id
"""


@dataclass(frozen=True)
class Owner:
    """A key's row and its customer."""

    key_id: int
    customer_id: int


def create(customer_id: int, name: str) -> str:
    """A new key of a customer. Raises ValueError if there is no such customer."""
    key = "sk_" + secrets.token_urlsafe(32)
    if db.row(_CREATE, {"customer_id": customer_id, "name": name, "hash": _hash(key)}) is None:
        raise ValueError(f"there is no customer {customer_id}; want the id of one")
    return key


def owner_of(key: str) -> Owner | None:
    """Whose key it is; None for one that nobody has, or that was revoked."""
    found = db.row(_OWNER, [_hash(key)]) if _KEY.fullmatch(key) else None
    return None if found is None else Owner(found["id"], found["customer_id"])


def revoke(key_id: int) -> bool:
    """Ends a key; False if there is no such key, or it has ended."""
    sql = "update api_key set revoked_at = clock_timestamp() where id = %s and revoked_at is null returning id"
    return db.row(sql, [key_id]) is not None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
