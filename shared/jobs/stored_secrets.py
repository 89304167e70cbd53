"""Whether CREDENTIALS_KEY opens the stored secrets: after a restore, or in one process type, it may be another database's key.

With it every job that needs a secret would fail for good, and look like that customer's own fault.
"""

from __future__ import annotations

import logging
import sys

from shared import db
from shared.db.credentials import CredentialsUnreadable, decrypt
from shared.models import TABLES, Base, EncryptedField, encrypted_fields

log = logging.getLogger(__name__)


def newest_open() -> dict[str, bool]:
    """Of each column that has secrets, as `Model.column`, whether the newest one can be decrypted."""
    columns = [(model, field) for model in TABLES for field in encrypted_fields(model)]
    return {f"{model.__name__}.{field.name}": _opens(*secret) for model, field in columns if (secret := _newest(model, field))}


def check_at_start() -> None:
    """Ends a worker whose key opens none of them, saying so; its jobs wait for one with the right key.

    Where it opens some, a key was lost, and people store those secrets again. A PostgreSQL that is away, or has not been
    migrated yet, is no reason not to start.
    """
    try:
        are_open = newest_open()
    except Exception as problem:
        if db.is_outage(problem):
            db.outage.noticed(problem)
        else:
            log.warning("credentials_not_checked", extra={"error": f"{type(problem).__name__}: {problem}"})
        return
    if are_open and not any(are_open.values()):
        sys.exit(
            "Switchboard did not start: CREDENTIALS_KEY opens none of the secrets that are stored in this database. "
            "Set the key that encrypted them; behind the present one, after a comma, if that is to be kept. "
            "If it is lost, store one of them again at the desk, with this key, and then the others."
        )
    if closed := [column for column, is_open in are_open.items() if not is_open]:
        log.error("credentials_unreadable", extra={"error": f"CREDENTIALS_KEY does not open the newest of {', '.join(closed)}"})


def _newest(model: type[Base], field: EncryptedField) -> tuple[str, str] | None:
    """The secret, and whose it is."""
    row = db.row(model.select(model.id, field).where(field != "").order_by(model.id.desc()).limit(1))
    return (row[field.name], f"{model.__name__} {row['id']}") if row else None


def _opens(stored: str, whose: str) -> bool:
    try:
        decrypt(stored, whose)
    except CredentialsUnreadable:
        return False
    return True
