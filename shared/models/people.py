"""Who works at the desk: users, what logs them in, and what they did."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, BooleanField, ForeignKeyField, TextField
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from shared.models.base import Base, timestamp
from shared.models.customers import Customer


class User(Base):
    """Who works at the desk: an operator (no customer), or an owner or agent of one."""

    customer = ForeignKeyField(Customer, null=True)
    customer_id: int | None
    role = TextField()
    email = TextField()
    name = TextField()
    password_hash = TextField(null=True)
    language = TextField(null=True)
    can_read_texts = BooleanField(constraints=[SQL("default false")])
    created_at = timestamp()
    updated_at = timestamp()
    disabled_at = DateTimeTZField(null=True)

    class Meta:
        """`user` is PostgreSQL's own word."""

        table_name = "app_user"


class UserSession(Base):
    """A browser that is logged in."""

    user = ForeignKeyField(User)
    hash = TextField()
    address = TextField()
    agent = TextField()
    created_at = timestamp()
    seen_at = timestamp()


class UserLink(Base):
    """A link that lets its holder choose a password, once."""

    kind = TextField()
    user = ForeignKeyField(User, null=True)
    user_id: int | None
    hash = TextField()
    created_at = timestamp()
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)


class AuditEntry(Base):
    """What somebody changed, or which texts an operator read."""

    at = timestamp()
    user = ForeignKeyField(User, null=True)
    customer = ForeignKeyField(Customer, null=True)
    action = TextField()
    subject = TextField()
    subject_id = BigIntegerField(null=True)
    details = BinaryJSONField(index=False, constraints=[SQL("default '{}'")])
