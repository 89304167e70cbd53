"""Links that let their holder choose a password: of an invitation, after a forgotten password, and for the first operator.

A link holds 256 random bits; the database has their SHA-256. It works once, and for a while. Who makes one for somebody ends the
earlier ones; who only asks for one, which anybody may who knows the address, ends none.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from peewee import SQL, fn

from shared import db
from shared.db.credentials import digest
from shared.models import User, UserLink
from shared.people import users

INVITATION, RESET, FIRST_OPERATOR = "invitation", "reset", "first_operator"
#: How long each works. A reset is asked for by somebody who waits for it.
LIFETIMES = {INVITATION: timedelta(days=7), RESET: timedelta(hours=1), FIRST_OPERATOR: timedelta(days=1)}
#: Links of somebody that work at once, before no more are sent to whoever asks.
MOST_ASKED = 20
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)


def for_user(user: User) -> str:
    """The path of a new link: an invitation for who has no password yet, else a reset. Earlier ones of this user end."""
    with db.transaction():
        db.rows(UserLink.delete().where(UserLink.user == user.id))
        return _new(_kind(user), user.id)


def asked_for(user: User) -> str | None:
    """The path of one more link, for whoever has asked for it; None if MOST_ASKED work. Earlier ones go on: else a stranger who
    asks again and again would end each of them before it is used."""
    own = UserLink.user == user.id
    with db.transaction():
        db.rows(UserLink.delete().where(own, UserLink.used_at.is_null(False) | (UserLink.expires_at <= fn.now())))
        has_enough = len(db.rows(UserLink.select(UserLink.id).where(own).limit(MOST_ASKED))) == MOST_ASKED
        return None if has_enough else _new(_kind(user), user.id)


def for_first_operator() -> str | None:
    """The path of a link for the first operator; None once there is one. Earlier ones end."""
    if users.has_operator():
        return None
    with db.transaction():
        db.rows(UserLink.update(used_at=fn.now()).where(UserLink.kind == FIRST_OPERATOR, UserLink.used_at.is_null()))
        return _new(FIRST_OPERATOR, None)


def find(token: str) -> UserLink | None:
    """The link, if it still works."""
    row = db.row(UserLink.select().where(_works(token))) if _TOKEN.fullmatch(token) else None
    if row is None or (row["kind"] == FIRST_OPERATOR and users.has_operator()):
        return None
    return UserLink(**row)


def use(token: str) -> bool:
    """Takes a link; False if somebody was faster, or it ended. In one transaction with what it is for."""
    return db.row(UserLink.update(used_at=fn.now()).where(_works(token)).returning(UserLink.id)) is not None


def _works(token: str) -> object:
    return (UserLink.hash == digest(token)) & UserLink.used_at.is_null() & (UserLink.expires_at > fn.now())


def _kind(user: User) -> str:
    return RESET if user.password_hash else INVITATION


def _new(kind: str, user_id: int | None) -> str:
    token = secrets.token_urlsafe(32)
    seconds = int(LIFETIMES[kind].total_seconds())
    ends = SQL(f"now() + interval '{seconds} seconds'")
    db.rows(UserLink.insert(kind=kind, user=user_id, hash=digest(token), expires_at=ends))
    return f"/desk/link/{token}"
