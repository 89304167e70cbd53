"""What people do with a conversation: take it, give it to a colleague or back to the bot, close it, note something.

Each verb is given a conversation that its caller has found to be the customer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from peewee import SQL, Expression

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.models import ConversationNote, QuickReply, User, limits

#: Characters of a note, of its author's name, and of a quick reply.
MAX_NOTE, MAX_AUTHOR, MAX_REPLY = 10_000, 200, 4_000
#: What a quick reply may be called.
SHORTCUT = r"[a-z0-9_-]{1,40}"


class Taken(Exception):
    """A colleague was faster."""

    def __init__(self, user_id: int, name: str) -> None:
        super().__init__(f"{name} has this conversation.")
        self.user_id, self.name = user_id, name


def take(
    conversation_id: int,
    user_id: int,
    taken_from: int | None = None,
    record: Callable[[], object] | None = None,
    *,
    by: str = "desk",
    minutes: int | None = None,
) -> None:
    """Makes it this user's, if nobody has it but `taken_from`. Raises Taken. `record` writes of it in the same transaction.

    `by`, `minutes`: as of ownership.assign.
    """
    with db.transaction():
        conversation_id = ownership.locked(conversation_id)
        ownership.show_silence(conversation_id, "person")
        take_over = "select conversation_take_v2(%s, %s, %s, %s, %s)"
        done = db.scalar(take_over, [conversation_id, user_id, taken_from, by, minutes])
        if "taken_by" not in done and record is not None:
            record()
    if "taken_by" in done:
        name = db.scalar(User.select(User.name).where(User.id == done["taken_by"]))
        raise Taken(done["taken_by"], name or "?")
    enqueue(tickets_of(done["tickets"]))


def colleagues(customer_id: int) -> list[dict[str, Any]]:
    """Who may have a conversation of a customer's."""
    active = (User.customer == customer_id) & User.disabled_at.is_null()
    return db.rows(User.select(User.id, User.name).where(active).order_by(User.name, User.id))


def hand_to(conversation_id: int, owner: str, record: Callable[[], object]) -> None:
    """Back to the bot ("bot"), or closed until the customer writes again ("closed"). `record`: as of `take`."""
    with db.transaction():
        tickets = ownership.assign(conversation_id, owner, "desk")
        record()
    enqueue(tickets_of(tickets))


def note(conversation_id: int, author: User | str, content: str, key: str | None = None) -> dict[str, Any]:
    """Leaves a note for colleagues; `author`: a user, or only a name. Returns its row, or that of the note with this key."""
    user_id, name = (None, author) if isinstance(author, str) else (author.id, author.name)
    new = {"user": user_id, "author": name, "content": content.strip()[:MAX_NOTE], "idempotency_key": key}
    with db.transaction():
        # The second of two at once waits here. No unique index: conversations that become one bring their notes along.
        conversation = ownership.locked(conversation_id)
        same_key = (ConversationNote.conversation == conversation) & (ConversationNote.idempotency_key == key)
        if key is not None and (earlier := db.row(ConversationNote.select().where(same_key).limit(1))):
            return earlier
        return db.rows(ConversationNote.insert(conversation=conversation, **new).returning(ConversationNote))[0]


def quick_replies(customer_id: int) -> list[dict[str, Any]]:
    """All of a customer's, by their shortcuts."""
    return db.rows(QuickReply.select().where(QuickReply.customer == customer_id).order_by(QuickReply.shortcut))


def is_shortcut(text: str) -> bool:
    """Whether a quick reply may be called so."""
    return bool(re.fullmatch(SHORTCUT, text))


def save_quick_reply(customer_id: int, shortcut: str, content: str) -> dict[str, Any]:
    """Adds one, or replaces the one with this shortcut. Returns its row. Raises TooMany."""
    return _save_quick_reply(customer_id, shortcut, content, SQL("true"))[0]


def save_quick_reply_over(customer_id: int, shortcut: str, content: str, before: str | None) -> dict[str, Any] | None:
    """As save_quick_reply, in the place of the text `before` only, or None of nothing; None: another one is there by now."""
    is_expected = SQL("false") if before is None else QuickReply.content == before
    return next(iter(_save_quick_reply(customer_id, shortcut, content, is_expected)), None)


def _save_quick_reply(customer_id: int, shortcut: str, content: str, may_replace: Expression | SQL) -> list[dict[str, Any]]:
    own = QuickReply.customer == customer_id
    values = {"customer": customer_id, "shortcut": shortcut, "content": content.strip()[:MAX_REPLY]}
    new = QuickReply.insert(**values).on_conflict(
        conflict_target=[QuickReply.customer, QuickReply.shortcut],
        update={QuickReply.content: values["content"]},
        where=may_replace,
    )
    with db.transaction():
        # One that is there takes no more room; if it is deleted at this moment, one more may be there.
        if db.row(QuickReply.select(QuickReply.id).where(own, QuickReply.shortcut == shortcut)) is None:
            limits.check(limits.QUICK_REPLIES, customer_id, QuickReply.select(QuickReply.id).where(own))
        return db.rows(new.returning(QuickReply))


def delete_quick_reply(customer_id: int, reply_id: int) -> str | None:
    """Forgets one, and returns its shortcut; None: there is no such one."""
    own = (QuickReply.customer == customer_id) & (QuickReply.id == reply_id)
    row = db.row(QuickReply.delete().where(own).returning(QuickReply.shortcut))
    return None if row is None else str(row["shortcut"])
