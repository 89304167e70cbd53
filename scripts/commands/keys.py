"""scripts/keys: the API keys of customers' servers, and the encryption of stored secrets with the newest CREDENTIALS_KEY."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.db import credentials
from shared.errors import PermanentError, Refused
from shared.models import TABLES, ApiKey, Base, EncryptedField, encrypted_fields
from shared.people.users import checked_name
from web.api import keys

#: Rows that are read and written at a time: others who write one of them wait for as long as these take.
BATCH = 100


def main() -> int:
    """Runs one command; 1 if there is no such customer or key."""
    return with_database("keys", _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/keys", description=__doc__)
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create", help="prints a new key, once")
    create.add_argument("--customer", type=count, required=True, help="its id: scripts/connect business prints it")
    create.add_argument("--name", default="server", help="what it is for (default: server)")
    create.add_argument("--manages", action="store_true", help="it may invite people, make keys and connect channels")
    create.set_defaults(run=_create)
    listed = commands.add_parser("list", help="all keys: whose, what for, since when; the keys themselves are not kept")
    listed.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="ends a key")
    revoke.add_argument("id", type=count, help="as scripts/keys list shows it")
    revoke.set_defaults(run=_revoke)
    rotate = commands.add_parser(
        "rotate-credentials", help="encrypts all stored tokens and secrets with the first key of CREDENTIALS_KEY; may be repeated"
    )
    rotate.set_defaults(run=_rotate)
    return parser.parse_args()


def _create(arguments: argparse.Namespace) -> int:
    manages = {"manages": True} if arguments.manages else {}
    name = checked_name(arguments.name)
    try:
        with db.transaction():
            key = keys.create(arguments.customer, name, **manages)
            audited("keys", "key.created", "key", None, arguments.customer, name=name, **manages)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    print(key)
    print("keys: this key is not shown again", file=sys.stderr)
    return 0


def _list(_: argparse.Namespace) -> int:
    columns = (ApiKey.id, ApiKey.customer, ApiKey.name, ApiKey.manages, ApiKey.created_at, ApiKey.revoked_at)
    rows = db.rows(ApiKey.select(*columns).order_by(ApiKey.id))
    print_table(("id", "customer", "name", "manages", "created", "revoked"), (row.values() for row in rows))
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    with db.transaction():
        revoked = keys.revoke(arguments.id)
        if revoked is not None:
            audited("keys", "key.revoked", "key", arguments.id, revoked["customer_id"], name=revoked["name"])
    if revoked is None:
        raise Refused(f"there is no key {arguments.id}, or it was revoked before")
    print(f"key {arguments.id} is revoked")
    return 0


def _rotate(_: argparse.Namespace) -> int:
    """Refused if there is a secret that no key opens."""
    lost = 0
    for model in TABLES:
        for field in encrypted_fields(model):
            outcomes = _rotate_column(model, field)
            lost += outcomes["lost"]
            print(
                f"{field.model.__name__}.{field.name}: {outcomes['rotated']} encrypted again, {outcomes['current']} were already"
            )
    if lost:
        raise Refused(
            f"no key of CREDENTIALS_KEY decrypts {lost} of these. Add the key that encrypted them, or store them "
            "again; until then what needs them fails."
        )
    print("All stored secrets are encrypted with the first key of CREDENTIALS_KEY.")
    return 0


def _rotate_column(model: type[Base], field: EncryptedField) -> Counter[str]:
    outcomes, last = Counter[str](), 0
    some = model.select(model.id, field).where(field.is_null(False)).order_by(model.id).limit(BATCH)
    while rows := db.rows(some.where(model.id > last)):
        with db.transaction():
            outcomes.update(_rotate_secret(model, field, row["id"], row[field.name]) for row in rows)
        last = rows[-1]["id"]
    return outcomes


def _rotate_secret(model: type[Base], field: EncryptedField, row_id: int, stored: str) -> str:
    whose = f"{model.__name__} {row_id}"
    try:
        new = credentials.with_newest_key(stored, whose)
    except PermanentError as problem:
        print(f"keys: {problem}", file=sys.stderr)
        return "lost"
    if new == stored:
        return "current"
    # Only in place of what was read: whoever stores another secret meanwhile wins, and used the newest key.
    db.rows(model.update({field: new}).where((model.id == row_id) & (field == stored)))
    return "rotated"


if __name__ == "__main__":
    sys.exit(main())
