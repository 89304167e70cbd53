"""What connecting an account of any channel takes at a terminal: the chatbot, its secret, and what it replaces."""

from __future__ import annotations

import getpass
import sys

from shared import db
from shared.models import Chatbot
from shared.teaching.fields import Refused

CHATBOT_HELP = "its id, which scripts/connect business prints; a chatbot has one such account, and a new one replaces it"


def no_chatbot(chatbot_id: int) -> str:
    """Why a chatbot's id is refused."""
    return f"there is no chatbot {chatbot_id}; use the id that scripts/connect business printed"


def require_chatbot(chatbot_id: int) -> int:
    """Ends the command before it asks for a secret that it could not store; returns the chatbot's customer. Raises Refused."""
    customer_id = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id))
    if customer_id is None:
        raise Refused(no_chatbot(chatbot_id))
    return int(customer_id)


def in_place_of(what: str, before: str | None, now: str) -> str:
    """What a chatbot had until now, for whoever connected the wrong chatbot."""
    return "" if before in (None, now) else f", in place of {what} {before}"


def read_secret(what: str, may_be_empty: bool = False) -> str:
    """Typed unseen, or piped in. Ctrl-D and Ctrl-C at the prompt end the command."""
    try:
        secret = (getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"\nconnect: {what}: nothing was given, so nothing was connected")
    if not secret and not may_be_empty:
        sys.exit(f"connect: {what}: nothing was given; type it, or pipe it into standard input")
    return secret
