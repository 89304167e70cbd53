"""Test chats: visitors whose ids name the user who tries the chatbot at the desk. They end with that user's access to it."""

from __future__ import annotations

import re
import secrets

from werkzeug.exceptions import Forbidden

from shared import db
from shared.models import Chatbot, User
from shared.payloads import id_in
from web.widget.visitor import Visitor

#: What the id of a test's visitor begins with (`is_test` in schema.sql); the whole has the length of any other.
PREFIX = "w_test-"
_ID = re.compile(rf"{PREFIX}[\w-]+-([0-9]+)", re.ASCII)
_LENGTH = 24


def new_id(user_id: int) -> str:
    """An id for another visitor of this user's."""
    user = f"-{user_id}"
    return PREFIX + secrets.token_urlsafe(16)[: _LENGTH - len(PREFIX) - len(user)] + user


def user_of(visitor_id: str) -> int | None:
    """Whose test chat it is; None for that of the release before, which names nobody."""
    found = _ID.fullmatch(visitor_id)
    return id_in(found[1]) if found else None


def check_tester(visitor: Visitor) -> None:
    """Raises Forbidden if it is a test chat, and its user may not try the chatbot any more."""
    if visitor.id.startswith(PREFIX) and not _may_try(user_of(visitor.id), visitor.chatbot_id):
        raise Forbidden("This test chat has ended, for its user may not try the chatbot any more. Begin another one at the desk.")


def _may_try(user_id: int | None, chatbot_id: int) -> bool:
    customer = Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id)
    is_theirs = (User.role == "operator") | ((User.role == "owner") & (User.customer == customer))
    able = User.select(User.id).where(User.id == user_id, User.disabled_at.is_null(), is_theirs)
    return db.scalar(able) is not None
