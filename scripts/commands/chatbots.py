"""Chatbots as commands name them: by an id that exists, or not at all where there is only one."""

from __future__ import annotations

from shared import db
from shared.errors import Refused
from shared.models import Chatbot

CHATBOT_HELP = "its id, which scripts/connect business prints; a chatbot has one such account, and a new one replaces it"


def no_chatbot(chatbot_id: int) -> str:
    """Why a chatbot's id is refused."""
    return f"there is no chatbot {chatbot_id}; use the id that scripts/connect business printed"


def require_chatbot(chatbot_id: int) -> int:
    """The customer of a chatbot. Raises Refused if there is none: before a secret is asked for that could not be stored."""
    customer_id = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id))
    if customer_id is None:
        raise Refused(no_chatbot(chatbot_id))
    return int(customer_id)


def only_chatbot() -> int:
    """The chatbot, if there is one only. Raises Refused."""
    ids = [row["id"] for row in db.rows(Chatbot.select(Chatbot.id).order_by(Chatbot.id).limit(2))]
    if not ids:
        raise Refused("there is no chatbot yet; make one: scripts/connect business NAME")
    if len(ids) > 1:
        raise Refused("there are several chatbots: say which with --chatbot")
    return int(ids[0])
