"""scripts/users: the people of the desk. Passwords are never typed here: a link, which works once, lets its holder choose one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from scripts.local.environment import web_address
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.errors import Refused
from shared.models import User
from shared.people import audit, links, users


def main() -> int:
    """Runs one command; 1 if it is refused."""
    return with_database("users", _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/users", description=__doc__)
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create", help="makes a user, and prints the link with which they choose a password")
    create.add_argument("email", help="with which they log in")
    create.add_argument("--name", help="what colleagues and customers see (default: the address before its @)")
    create.add_argument("--role", choices=users.ROLES, default="owner", help="default: owner")
    create.add_argument("--customer", type=count, help="of an owner or agent; scripts/connect business prints its id")
    create.set_defaults(run=_create)
    listed = commands.add_parser("list", help="all users")
    listed.set_defaults(run=_list)
    can, cannot = partial(users.allow_texts, is_allowed=True), partial(users.allow_texts, is_allowed=False)
    for name, run, text in (
        ("link", _link, "prints a new link with which somebody chooses a password; earlier ones end"),
        ("disable", partial(_change, "user.disabled", users.disable), "ends somebody's access at once"),
        ("enable", partial(_change, "user.enabled", users.enable), "gives it back"),
        ("grant-texts", partial(_change, "user.texts_granted", can), "lets an operator read customers' messages, on record"),
        ("revoke-texts", partial(_change, "user.texts_revoked", cannot), "takes that back"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("email", help="of the user")
        command.set_defaults(run=run)
    return parser.parse_args()


def _create(arguments: argparse.Namespace) -> int:
    name = arguments.email.partition("@")[0] if arguments.name is None else arguments.name
    with db.transaction():
        user = users.create(arguments.email, name, arguments.role, arguments.customer)
        _record("user.created", user, role=user.role)
        path = links.for_user(user)
    return _print_link(user, path)


def _link(arguments: argparse.Namespace) -> int:
    user = _named(arguments.email)
    if user.disabled_at:
        raise Refused(f"{user.email} has no access. Give it back first: scripts/users enable {user.email}")
    with db.transaction():
        path = links.for_user(user)
        _record("user.link_made", user)
    return _print_link(user, path)


def _print_link(user: User, path: str) -> int:
    print(f"{web_address()}{path}")
    kind = links.RESET if user.password_hash else links.INVITATION
    lifetime = links.LIFETIMES[kind]
    within = f"{lifetime.days} days" if lifetime.days else f"{lifetime.seconds // 60} minutes"
    print(f"users: for {user.email}; it works once, within {within}", file=sys.stderr)
    return 0


def _list(_: argparse.Namespace) -> int:
    columns = (User.id, User.customer, User.role, User.email, User.name, User.can_read_texts, User.created_at, User.disabled_at)
    rows = db.rows(User.select(*columns).order_by(User.id))
    titles = ("id", "customer", "role", "email", "name", "reads texts", "created", "disabled")
    print_table(titles, (row.values() for row in rows))
    return 0


def _change(action: str, change: Callable[[int], None], arguments: argparse.Namespace) -> int:
    user = _named(arguments.email)
    with db.transaction():
        change(user.id)
        _record(action, user)
    print(f"{user.email}: {action.partition('.')[2].replace('_', ' ')}")
    return 0


def _record(action: str, user: User, **details: str) -> None:
    audit.record(action, "user", user.id, {"by": "scripts/users", **details}, user=None, customer_id=user.customer_id)


def _named(email: str) -> User:
    user = users.find(email)
    if user is None:
        raise Refused(f"Nobody has the address {email}. scripts/users list shows all users.")
    return user


if __name__ == "__main__":
    sys.exit(main())
