"""Keys of businesses' servers: `sk_` and 256 random bits, shown once; the database has only their SHA-256."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

from peewee import Value, fn

from shared import db
from shared.db.credentials import digest
from shared.models import ApiKey, Customer, limits

#: Of a business's keys that were revoked as many are shown and kept; the audit has all of them.
REVOKED = 100
#: What a key looks like.
KEY = re.compile(r"sk_[\w-]{43}", re.ASCII)


@dataclass(frozen=True)
class Owner:
    """A key's row and its customer. `manages`: it may invite people, make keys and connect channels."""

    key_id: int
    customer_id: int
    name: str
    manages: bool


class KeyRevoked(Exception):
    """The key that makes another one was revoked meanwhile."""


def create(customer_id: int, name: str, *, manages: bool = False, made_by: int | None = None) -> str:
    """A new key of a customer. `made_by`: the key that made it, and with which it ends; then call it in a transaction. Raises
    ValueError if there is no such customer, KeyRevoked, TooMany."""
    key = "sk_" + secrets.token_urlsafe(32)
    if made_by is not None:  # whoever revokes that one waits for this one, and ends it too
        works = ApiKey.select(ApiKey.id).where(ApiKey.id == made_by, ApiKey.revoked_at.is_null())
        if db.row(works.for_update("FOR SHARE")) is None:  # type: ignore[arg-type]  # peewee takes it
            raise KeyRevoked
    values = (name, digest(key), manages, made_by)
    owner = Customer.select(Customer.id, *map(Value, values)).where(Customer.id == customer_id)
    columns = [ApiKey.customer, ApiKey.name, ApiKey.hash, ApiKey.manages, ApiKey.made_by]
    with db.transaction():
        own = ApiKey.customer == customer_id
        limits.check(limits.KEYS, customer_id, ApiKey.select(ApiKey.id).where(own, ApiKey.revoked_at.is_null()))
        _forget_revoked(customer_id)
        if db.row(ApiKey.insert_from(owner, columns).returning(ApiKey.id)) is None:
            raise ValueError(f"There is no customer {customer_id}; scripts/connect business prints the id of a new one.")
    return key


def _forget_revoked(customer_id: int) -> None:
    """Who makes a key and revokes it, again and again, fills no table."""
    revoked = (ApiKey.customer == customer_id) & ApiKey.revoked_at.is_null(False)
    order = (ApiKey.revoked_at.desc(), ApiKey.id.desc())
    kept = ApiKey.select(ApiKey.id).where(revoked).order_by(*order).limit(REVOKED)
    db.rows(ApiKey.delete().where(revoked, ApiKey.id.not_in(kept)))


def owner_of(key: str) -> Owner | None:
    """Whose key it is; None for one that nobody has, or that was revoked."""
    if not KEY.fullmatch(key):
        return None
    columns = (ApiKey.id, ApiKey.customer, ApiKey.name, ApiKey.manages)
    row = db.row(ApiKey.select(*columns).where(ApiKey.hash == digest(key), ApiKey.revoked_at.is_null()))
    return None if row is None else Owner(row["id"], row["customer_id"], row["name"], row["manages"])


def of_customer(customer_id: int) -> list[dict[str, Any]]:
    """A customer's keys, the newest first; those that work before those that were revoked."""
    columns = (ApiKey.id, ApiKey.name, ApiKey.manages, ApiKey.made_by, ApiKey.created_at, ApiKey.revoked_at)
    order = (ApiKey.revoked_at.is_null(False), ApiKey.id.desc())
    return db.rows(ApiKey.select(*columns).where(ApiKey.customer == customer_id).order_by(*order))


def find(key_id: int, customer_id: int) -> dict[str, Any] | None:
    """One of a customer's keys that works."""
    return next((key for key in of_customer(customer_id) if key["id"] == key_id and key["revoked_at"] is None), None)


def revoke(key_id: int, customer_id: int | None = None) -> dict[str, Any] | None:
    """Ends a key, of this customer if one is given, and those that it made; returns whose it was, and its name. None if there
    is no such key, or it has ended."""
    active = (ApiKey.id == key_id) & ApiKey.revoked_at.is_null()
    if customer_id is not None:
        active &= ApiKey.customer == customer_id
    now = fn.clock_timestamp()
    with db.transaction():
        row = db.row(ApiKey.update(revoked_at=now).where(active).returning(ApiKey.customer, ApiKey.name))
        if row is not None:
            db.rows(ApiKey.update(revoked_at=now).where(ApiKey.made_by == key_id, ApiKey.revoked_at.is_null()))
    return row
