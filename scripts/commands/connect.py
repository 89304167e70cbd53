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

import peewee
import psycopg2.errors

from scripts.local.terminal import count, with_database
from shared import db
from shared.db.credentials import encrypt

_BUSINESS = "insert into customer (name, plan_price_cents) values (%s, %s) returning id"
_BOT = "insert into chatbot (customer_id, name) values (%s, %s) returning id, public_key"
_CLOUD_BEFORE = "select phone_number_id from whatsapp_cloud_account where chatbot_id = %s"
_CLOUD = """
    insert into whatsapp_cloud_account (chatbot_id, phone_number_id, access_token) values (%s, %s, %s)
    on conflict (chatbot_id) do update
        set phone_number_id = excluded.phone_number_id, access_token = excluded.access_token, active = true
"""
_QR_BEFORE = "select session_name from whatsapp_qr_session where chatbot_id = %s"
_QR = """
    insert into whatsapp_qr_session (chatbot_id, session_name, dialect, api_key, webhook_secret) values (%s, %s, %s, %s, %s)
    on conflict (chatbot_id) do update set session_name = excluded.session_name, dialect = excluded.dialect,
        api_key = excluded.api_key, webhook_secret = excluded.webhook_secret, active = true, state = 'unknown'
"""

_WHOSE = "whose: scripts/connect business prints its id; a chatbot has one, a second replaces it"


def main() -> int:
    """Runs one command; 1 if the database refuses it, or does not answer."""
    arguments = _arguments()
    try:
        return with_database("connect", arguments.run, arguments)
    except peewee.IntegrityError as problem:
        print(f"connect: refused: {_reason(problem, arguments)}", file=sys.stderr)
        return 1


def _reason(problem: peewee.IntegrityError, arguments: argparse.Namespace) -> str:
    """What the database refused, in the command's words."""
    refusal = getattr(problem, "orig", None)
    if isinstance(refusal, psycopg2.errors.ForeignKeyViolation):
        return f"there is no chatbot {arguments.chatbot}; want the id that scripts/connect business printed"
    if isinstance(refusal, psycopg2.errors.UniqueViolation):
        what = f"session {arguments.session}" if "session" in arguments else f"number {arguments.phone_number_id}"
        return f"{what} is another chatbot's; want one that is free"
    return str(problem).splitlines()[0]


def _dollars(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,2})?", text):
        raise argparse.ArgumentTypeError(f"got {text!r}; want dollars a month, like 50 or 49.90")
    return float(text)


def _matching(pattern: str, wanted: str) -> Callable[[str], str]:
    """An argument that the schema's constraint of this pattern takes."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"got {text!r}; want {wanted}")
        return text

    return check


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/connect", description=__doc__)
    commands = parser.add_subparsers(required=True)
    business = commands.add_parser("business", help="a customer and its chatbot; prints their ids")
    business.add_argument("name", type=_matching(r"(?s).*\S.*", "a name"), help="the business's")
    business.add_argument(
        "--plan", type=_dollars, default=0.0, help="dollars a month, by which its AI jobs have priority (default 0)"
    )
    business.add_argument(
        "--bot", default="Assistant", type=_matching(r"(?s).*\S.*", "a name"), help="the chatbot's name (default: Assistant)"
    )
    business.set_defaults(run=_business)
    cloud = commands.add_parser("whatsapp", help="a number of Meta's Cloud API; asks for its access token")
    cloud.add_argument("--chatbot", type=count, required=True, help=_WHOSE)
    number = _matching(r"[0-9]+", "Meta's id of the number, digits only")
    cloud.add_argument("--phone-number-id", type=number, required=True, help="Meta's id of the number, not the number")
    cloud.set_defaults(run=_cloud)
    qr = commands.add_parser("qr", help="a session of a QR gateway; asks for the gateway's API key, prints the hook's secret")
    qr.add_argument("--chatbot", type=count, required=True, help=_WHOSE)
    name = _matching(r"[A-Za-z0-9_.-]+", "letters, digits, and _ . -")
    qr.add_argument("--session", type=name, required=True, help="its name at the gateway")
    qr.add_argument("--dialect", choices=("waha", "evolution"), default="waha", help="what the gateway speaks (default: waha)")
    qr.set_defaults(run=_qr)
    return parser.parse_args()


def _business(arguments: argparse.Namespace) -> int:
    with db.transaction():
        customer = db.scalar(_BUSINESS, [arguments.name, round(arguments.plan * 100)])
        bot = db.row(_BOT, [customer, arguments.bot]) or {}
    print(f"customer {customer}, chatbot {bot['id']}, public key {bot['public_key']}; its chat is /widget/{bot['public_key']}")
    return 0


def _cloud(arguments: argparse.Namespace) -> int:
    token = _asked("access token")
    with db.transaction():
        before = db.scalar(_CLOUD_BEFORE, [arguments.chatbot])
        db.rows(_CLOUD, [arguments.chatbot, arguments.phone_number_id, encrypt(token)])
    replaced = _in_place_of("number", before, arguments.phone_number_id)
    print(
        f"number {arguments.phone_number_id} is chatbot {arguments.chatbot}'s{replaced}; Meta's hook is /webhooks/whatsapp/cloud"
    )
    return 0


def _qr(arguments: argparse.Namespace) -> int:
    key, secret = _asked("API key of the gateway (empty: WHATSAPP_QR_API_KEY)", empty=True), random_secrets.token_urlsafe(24)
    params = [arguments.chatbot, arguments.session, arguments.dialect, encrypt(key) if key else None, encrypt(secret)]
    with db.transaction():
        before = db.scalar(_QR_BEFORE, [arguments.chatbot])
        db.rows(_QR, params)
    whose = f"chatbot {arguments.chatbot}'s{_in_place_of('session', before, arguments.session)}"
    print(f"session {arguments.session} is {whose}; its hook is /webhooks/whatsapp/qr/{arguments.session}")
    print(f"the hook's secret, shown once{'; the earlier one no longer holds' if before else ''}: {secret}")
    return 0


def _in_place_of(what: str, before: str | None, now: str) -> str:
    """What a chatbot had until now, for whoever connected the wrong chatbot."""
    return "" if before in (None, now) else f", in place of {what} {before}"


def _asked(what: str, empty: bool = False) -> str:
    """A secret: typed unseen, or piped in."""
    given = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not given.strip() and not empty:
        sys.exit(f"connect: {what}: nothing was given; want it on standard input")
    return given.strip()


if __name__ == "__main__":
    sys.exit(main())
