"""What the models have in common: their database, and the kinds of columns that peewee does not have."""

from __future__ import annotations

from peewee import SQL, BigAutoField, Model, TextField
from playhouse.postgres_ext import DateTimeTZField

from shared.db import proxy


class Base(Model):
    """All tables live in one database, bound when a process first needs it. A table without an `id` says `id = None`: peewee
    leaves the column out, which its types do not know."""

    id = BigAutoField()

    class Meta:
        database = proxy
        legacy_table_names = False


class EncryptedField(TextField):
    """A secret, as shared/db/credentials.py encrypts it. scripts/keys rotate-credentials goes through all of these."""


def timestamp(**options: bool) -> DateTimeTZField:
    """A time that is now, unless something else is given."""
    return DateTimeTZField(constraints=[SQL("default now()")], **options)


def encrypted_fields(model: type[Base]) -> list[EncryptedField]:
    """The secrets of a table."""
    return [field for field in model._meta.sorted_fields if isinstance(field, EncryptedField)]
