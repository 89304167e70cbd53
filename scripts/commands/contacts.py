"""scripts/contacts: the persons who write to chatbots. Finds, exports and erases them; says how long their messages are kept."""

from __future__ import annotations

import argparse
import sys

from peewee import fn

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.channels.phone_numbers import part
from shared.errors import Refused
from shared.models import Chatbot, Contact, ContactIdentity
from shared.privacy import erasure, export, retention


def main() -> int:
    """Runs one command; 1 if there is no such contact or customer."""
    return with_database("contacts", _arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/contacts", description=__doc__)
    commands = parser.add_subparsers(required=True)
    find = commands.add_parser("find", help="contacts by a name that a channel has for them: a phone number, a user id")
    find.add_argument("name", help="a part of it is enough, and a phone number as people write it")
    find.set_defaults(run=_find)
    for name, run, about in (
        ("export", _export, "prints all that is known of a contact, as JSON"),
        ("erase", _erase, "deletes all that is known of a contact; it cannot be undone"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("id", type=count, help="as find, or the API, shows it")
        command.set_defaults(run=run)
    commands.choices["erase"].add_argument("--yes", action="store_true", help="do not ask")
    keep = commands.add_parser("keep", help="how long a customer's messages and files are kept; without days: shows it")
    keep.add_argument("--customer", type=count, required=True, help="its id: scripts/connect business prints it")
    keep.add_argument("--messages", metavar="DAYS", help="from 7; 0: for ever; default: KEEP_MESSAGES_DAYS")
    keep.add_argument("--media", metavar="DAYS", help="from 1; 0: for ever; default: KEEP_MEDIA_DAYS")
    keep.set_defaults(run=_keep)
    return parser.parse_args()


def _find(arguments: argparse.Namespace) -> int:
    names = fn.STRING_AGG(ContactIdentity.name, ", ").alias("names")
    named = ContactIdentity.select(ContactIdentity.contact).where(ContactIdentity.name.contains(part(arguments.name)))
    contacts = (
        Contact.select(Contact.id, Chatbot.customer, Contact.chatbot, Contact.created_at, names)
        .join(Chatbot)
        .join_from(Contact, ContactIdentity)
        .where(Contact.id.in_(named))
        .group_by(Contact.id, Chatbot.customer)
        .order_by(Contact.id.desc())
        .limit(50)
    )
    rows = db.rows(contacts)
    if not rows:
        raise Refused(f"nobody is known as {arguments.name}")
    print_table(("contact", "customer", "chatbot", "since", "names"), (row.values() for row in rows))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    pieces = export.export(_customer_of(arguments.id), arguments.id, by="scripts/contacts")
    if pieces is None:
        raise _unknown(arguments.id)
    sys.stdout.writelines(pieces)
    return 0


def _erase(arguments: argparse.Namespace) -> int:
    customer = _customer_of(arguments.id)
    if customer and not arguments.yes:
        print(f"All that is known of contact {arguments.id} of customer {customer} will be deleted, for good. Type its id:")
        if sys.stdin.readline().strip() != str(arguments.id):
            raise Refused("nothing was deleted")
    erased = erasure.erase(customer, arguments.id, by="scripts/contacts")
    if erased is None:
        raise _unknown(arguments.id)
    print(f"contact {arguments.id} is erased: " + ", ".join(_counted(*one) for one in erased.items()))
    return 0


def _counted(what: str, number: int) -> str:
    return f"{number} {what.removesuffix('s') if number == 1 else what}"


def _keep(arguments: argparse.Namespace) -> int:
    given = {"messages": arguments.messages, "media": arguments.media}
    changes = {f"keep_{what}_days": days for what, days in given.items() if days is not None}
    try:
        with db.transaction():
            kept = retention.keep(arguments.customer, **given)
            if changes:
                audited("contacts", "customer.changed", "customer", arguments.customer, arguments.customer, **changes)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    print(f"customer {arguments.customer}: messages are kept {kept['messages']}, files {kept['media']}")
    return 0


def _customer_of(contact_id: int) -> int:
    """0 if there is no such contact."""
    owner = Contact.select(Chatbot.customer).join(Chatbot).where(Contact.id == contact_id)
    return int(db.scalar(owner) or 0)


def _unknown(contact_id: int) -> Refused:
    return Refused(f"there is no contact {contact_id}; scripts/contacts find shows those there are")


if __name__ == "__main__":
    sys.exit(main())
