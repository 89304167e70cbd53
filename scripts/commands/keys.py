"""scripts/keys: makes, lists and revokes the API keys of a customer's servers."""

from __future__ import annotations

import argparse
import sys

from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.models import ApiKey
from web.api import keys


def main() -> int:
    """Runs one command; 1 if there is no such customer or key."""
    arguments = _arguments()
    return with_database("keys", arguments.run, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/keys", description=__doc__)
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create", help="prints a new key, once")
    create.add_argument("--customer", type=count, required=True, help="its id: scripts/connect business prints it")
    create.add_argument("--name", default="server", help="what it is for (default: server)")
    create.set_defaults(run=_create)
    listed = commands.add_parser("list", help="all keys: whose, what for, since when; the keys themselves are not kept")
    listed.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="ends a key")
    revoke.add_argument("id", type=count, help="as scripts/keys list shows it")
    revoke.set_defaults(run=_revoke)
    return parser.parse_args()


def _create(arguments: argparse.Namespace) -> int:
    try:
        print(keys.create(arguments.customer, arguments.name))
    except ValueError as problem:
        print(f"keys: {problem}", file=sys.stderr)
        return 1
    print("keys: this key is not shown again", file=sys.stderr)
    return 0


def _list(_: argparse.Namespace) -> int:
    columns = (ApiKey.id, ApiKey.customer, ApiKey.name, ApiKey.created_at, ApiKey.revoked_at)
    rows = db.rows(ApiKey.select(*columns).order_by(ApiKey.id))
    print_table(("id", "customer", "name", "created", "revoked"), (row.values() for row in rows))
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    if not keys.revoke(arguments.id):
        print(f"keys: there is no key {arguments.id}, or it was revoked before", file=sys.stderr)
        return 1
    print(f"key {arguments.id} is revoked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
