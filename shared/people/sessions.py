"""Sessions: rows, one for each browser that is logged in. The browser holds 256 random bits, the database their SHA-256."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from peewee import SQL, Value, fn

from shared import db
from shared.db.credentials import digest
from shared.models import User, UserSession

#: Days after which a session ends that nobody used, and after which any session ends.
IDLE_DAYS, LONGEST_DAYS = 14, 90
#: Sessions of somebody; when another one begins, the one that was not used for longest ends.
MOST = 20
#: Minutes between two notes of when a session was last used: not every request has to write.
_NOTE_MINUTES = 5
#: Characters of what a browser says of itself that are kept.
_AGENT = 300


def _lives() -> Any:
    """The condition of a session that has not ended."""
    return (UserSession.seen_at > SQL(f"now() - interval '{IDLE_DAYS} days'")) & (
        UserSession.created_at > SQL(f"now() - interval '{LONGEST_DAYS} days'")
    )


def begin(user: User, address: str, agent: str) -> str | None:
    """A new session of a user as they were read; returns its token. What has ended of this user's goes away.

    None: they have another password meanwhile, or no access any more. A session of the old password would not end with it.
    """
    token = secrets.token_urlsafe(32)
    is_same = (User.id == user.id) & (User.password_hash == user.password_hash) & User.disabled_at.is_null()
    # Locked: whoever changes the password waits, and then ends this session; or has done so, and there is none.
    new = User.select(User.id, Value(digest(token)), Value(address), Value(agent[:_AGENT])).where(is_same).for_update()
    columns = [UserSession.user, UserSession.hash, UserSession.address, UserSession.agent]
    own = UserSession.user == user.id
    with db.transaction():
        db.rows(UserSession.delete().where(own, ~_lives()))
        begun = db.row(UserSession.insert_from(new, columns).returning(UserSession.id))
        latest = UserSession.select(UserSession.id).where(own).order_by(UserSession.seen_at.desc(), UserSession.id.desc())
        db.rows(UserSession.delete().where(own, UserSession.id.not_in(latest.limit(MOST))))
    return None if begun is None else token


def find(token: str) -> tuple[User, int] | None:
    """Whose session this is, and its id; None if it ended, or its user is disabled."""
    live = (UserSession.hash == digest(token)) & _lives() & User.disabled_at.is_null()
    is_stale = UserSession.seen_at < SQL(f"now() - interval '{_NOTE_MINUTES} minutes'")
    columns = (User, UserSession.id.alias("session_id"), is_stale.alias("is_stale"))
    row = db.row(UserSession.select(*columns).join(User).where(live))
    if row is None:
        return None
    session_id, stale = row.pop("session_id"), row.pop("is_stale")
    if stale:
        db.rows(UserSession.update(seen_at=fn.now()).where(UserSession.id == session_id))
    return User(**row), session_id


def users_of(session_ids: Collection[int]) -> dict[int, User]:
    """Who is logged in with each of these; those that ended, or whose user is disabled, are left out."""
    columns = (User.id, User.role, User.customer, User.can_read_texts, UserSession.id.alias("session_id"))
    live = UserSession.id.in_(list(session_ids)) & _lives() & User.disabled_at.is_null()
    return {row.pop("session_id"): User(**row) for row in db.rows(UserSession.select(*columns).join(User).where(live))}


def of_user(user_id: int) -> list[dict[str, Any]]:
    """Somebody's live sessions, the latest used first."""
    columns = (UserSession.id, UserSession.address, UserSession.agent, UserSession.created_at, UserSession.seen_at)
    live = (UserSession.user == user_id) & _lives()
    return db.rows(UserSession.select(*columns).where(live).order_by(UserSession.seen_at.desc(), UserSession.id.desc()))


def end(user_id: int, session_id: int) -> None:
    """Logs one browser out."""
    db.rows(UserSession.delete().where(UserSession.user == user_id, UserSession.id == session_id))


def end_others(user_id: int, session_id: int) -> int:
    """Logs all other browsers out; returns how many."""
    others = UserSession.delete().where(UserSession.user == user_id, UserSession.id != session_id)
    return len(db.rows(others.returning(UserSession.id)))
