"""Customers, their keys for the API, and the answers that the API keeps for repeated requests."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, BooleanField, ForeignKeyField, IntegerField, SmallIntegerField, TextField
from playhouse.postgres_ext import DateTimeTZField

from shared.models.base import Base, EncryptedField, timestamp


class Customer(Base):
    """A tenant."""

    name = TextField()
    plan_price_cents = IntegerField(default=0)
    priority = SmallIntegerField(null=True)
    created_at = timestamp()
    keep_messages_days = IntegerField(null=True)
    keep_media_days = IntegerField(null=True)


class ApiKey(Base):
    """A key of a business's server; only its hash."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    hash = TextField()
    created_at = timestamp()
    revoked_at = DateTimeTZField(null=True)
    manages = BooleanField(constraints=[SQL("default false")])
    made_by = BigIntegerField(null=True)


class KeptAnswer(Base):
    """The answer to a request with an Idempotency-Key."""

    customer = ForeignKeyField(Customer)
    key = TextField()
    fingerprint = TextField()
    path = TextField()
    status = IntegerField(null=True)
    answer = EncryptedField(null=True)
    created_at = timestamp()
