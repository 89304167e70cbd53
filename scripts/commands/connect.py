"""scripts/connect: makes a business with its chatbot, and connects WhatsApp numbers and QR sessions to one.

Tokens and secrets are read from standard input, never from the command line: that is in the shell's history.
"""

from __future__ import annotations

import argparse
import getpass
import re
import secrets as random_secrets
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import peewee
import psycopg2.errors

from scripts.local.terminal import count, with_database
from shared import db
from shared.db.credentials import encrypt
from shared.models import Chatbot, Customer, WhatsappCloudAccount, WhatsappQrSession

Account: TypeAlias = WhatsappCloudAccount | WhatsappQrSession

_CHATBOT_HELP = "its id: scripts/connect business prints it; a chatbot has one, a second replaces it"


class _Refused(Exception):
    """The command cannot do that; its text says why."""


def main() -> int:
    """Runs one command; 1 if the database refuses it, or does not answer."""
    arguments = _arguments()
    try:
        return with_database("connect", arguments.run, arguments)
    except peewee.IntegrityError as problem:
        reason = _reason(problem, arguments)
    except _Refused as refusal:
        reason = str(refusal)
    print(f"connect: refused: {reason}", file=sys.stderr)
    return 1


def _reason(problem: peewee.IntegrityError, arguments: argparse.Namespace) -> str:
    """Why the database refused it, in the command's words."""
    refusal = getattr(problem, "orig", None)
    if isinstance(refusal, psycopg2.errors.ForeignKeyViolation):
        return _no_chatbot(arguments.chatbot)
    if isinstance(refusal, psycopg2.errors.UniqueViolation):
        what = f"session {arguments.session}" if "session" in arguments else f"number {arguments.phone_number_id}"
        return f"{what} is another chatbot's; connect another one, or the other chatbot first"
    return str(problem).splitlines()[0]


def _no_chatbot(chatbot_id: int) -> str:
    return f"there is no chatbot {chatbot_id}; use the id that scripts/connect business printed"


def _dollars(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,2})?", text):
        raise argparse.ArgumentTypeError(f"must be dollars a month, like 50 or 49.90, got {text!r}")
    return float(text)


def _matching(pattern: str, described: str) -> Callable[[str], str]:
    """An argument that the schema's constraint of this pattern takes."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"must be {described}, got {text!r}")
        return text

    return check


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/connect", description=__doc__)
    commands = parser.add_subparsers(required=True)
    business = commands.add_parser("business", help="a customer and its chatbot; prints their ids")
    business.add_argument("name", type=_matching(r"(?s).*\S.*", "a name"), help="the name of the business")
    business.add_argument(
        "--plan", type=_dollars, default=0.0, help="dollars a month, by which its AI jobs have priority (default 0)"
    )
    business.add_argument(
        "--bot", default="Assistant", type=_matching(r"(?s).*\S.*", "a name"), help="the chatbot's name (default: Assistant)"
    )
    business.set_defaults(run=_business)
    cloud = commands.add_parser("whatsapp", help="a number of Meta's Cloud API; asks for its access token")
    cloud.add_argument("--chatbot", type=count, required=True, help=_CHATBOT_HELP)
    number = _matching(r"[0-9]+", "Meta's id of the number, digits only")
    cloud.add_argument("--phone-number-id", type=number, required=True, help="Meta's id of the number, not the number")
    cloud.set_defaults(run=_cloud)
    qr = commands.add_parser("qr", help="a session of a QR gateway; asks for its API key, prints the secret of the hook")
    qr.add_argument("--chatbot", type=count, required=True, help=_CHATBOT_HELP)
    name = _matching(r"[A-Za-z0-9_.-]+", "letters, digits, and the characters _ . -")
    qr.add_argument("--session", type=name, required=True, help="its name at the gateway")
    qr.add_argument("--dialect", choices=("waha", "evolution"), default="waha", help="what the gateway speaks (default: waha)")
    qr.set_defaults(run=_qr)
    return parser.parse_args()


def _business(arguments: argparse.Namespace) -> int:
    with db.transaction():
        customer = Customer.create(name=arguments.name, plan_price_cents=round(arguments.plan * 100))
        [bot] = db.rows(Chatbot.insert(customer=customer, name=arguments.bot).returning(Chatbot.id, Chatbot.public_key))
    print(f"customer {customer.id}, chatbot {bot['id']}, public key {bot['public_key']}; its chat is /widget/{bot['public_key']}")
    return 0


def _cloud(arguments: argparse.Namespace) -> int:
    _require_chatbot(arguments.chatbot)
    token = _read_secret("access token")
    values = {"phone_number_id": arguments.phone_number_id, "access_token": encrypt(token), "active": True}
    before = _connect(WhatsappCloudAccount, arguments.chatbot, WhatsappCloudAccount.phone_number_id, values)
    replaced = _in_place_of("number", before, arguments.phone_number_id)
    print(
        f"number {arguments.phone_number_id} is chatbot {arguments.chatbot}'s{replaced}; Meta's hook is /webhooks/whatsapp/cloud"
    )
    return 0


def _qr(arguments: argparse.Namespace) -> int:
    _require_chatbot(arguments.chatbot)
    key = _read_secret("API key of the gateway (empty: WHATSAPP_QR_API_KEY)", may_be_empty=True)
    secret = random_secrets.token_urlsafe(24)
    values = {
        "session_name": arguments.session,
        "dialect": arguments.dialect,
        "api_key": encrypt(key) if key else None,
        "webhook_secret": encrypt(secret),
        "active": True,
        "state": "unknown",
    }
    before = _connect(WhatsappQrSession, arguments.chatbot, WhatsappQrSession.session_name, values)
    whose = f"chatbot {arguments.chatbot}'s{_in_place_of('session', before, arguments.session)}"
    print(f"session {arguments.session} is {whose}; its hook is /webhooks/whatsapp/qr/{arguments.session}")
    print(f"the hook's secret, shown once{'; the earlier one no longer holds' if before else ''}: {secret}")
    return 0


def _require_chatbot(chatbot_id: int) -> None:
    """Ends the command before it asks for a secret that it could not store. Raises _Refused."""
    if db.scalar(Chatbot.select(Chatbot.id).where(Chatbot.id == chatbot_id)) is None:
        raise _Refused(_no_chatbot(chatbot_id))


def _connect(model: type[Account], chatbot_id: int, name: peewee.TextField, values: dict[str, Any]) -> str | None:
    """Gives a chatbot its account, in place of the one that it had; returns the name of that."""
    own = model.chatbot == chatbot_id
    account = model.insert(chatbot=chatbot_id, **values).on_conflict(conflict_target=[model.chatbot], update=values)
    with db.transaction():
        before: str | None = db.scalar(model.select(name).where(own))
        db.rows(account)
    return before


def _in_place_of(what: str, before: str | None, now: str) -> str:
    """What a chatbot had until now, for whoever connected the wrong chatbot."""
    return "" if before in (None, now) else f", in place of {what} {before}"


def _read_secret(what: str, may_be_empty: bool = False) -> str:
    """Typed unseen, or piped in. Ctrl-D and Ctrl-C at the prompt end the command."""
    try:
        secret = (getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"\nconnect: {what}: nothing was given, so nothing was connected")
    if not secret and not may_be_empty:
        sys.exit(f"connect: {what}: nothing was given; type it, or pipe it into standard input")
    return secret


if __name__ == "__main__":
    sys.exit(main())
