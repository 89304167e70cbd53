"""Who may answer a conversation: the bot; or a person, and the bot is silent; or it is closed, until the customer writes again.

A person takes over by writing, through the API or on the phone; or they are asked to, by the bot (shared/ai/tools.py) or by Meta,
whose threads have owners of their own. A conversation goes back to the bot when it is given back, or was silent for its minutes.
The verbs are SQL (schema.sql, "who may answer"): the row that says who owns a conversation decides what leaves.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import Any

from peewee import fn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import contacts
from shared.config import settings
from shared.db import sql
from shared.jobs.independent import run_each
from shared.models import Conversation
from shared.privacy import marks

log = logging.getLogger(__name__)
queries = sql.load(__file__)

OWNERS = ("bot", "person", "closed")
#: Conversations that go back in one run of the periodic job.
PAGE = 1_000
#: Minutes of silence after which another responder's thread is nobody's again: Meta's day.
PROVIDER_MINUTES = 24 * 60


class _Erased(Exception):
    """The person was erased at this moment."""


def locked(conversation_id: int) -> int:
    """The conversation, or what it has become a part of, locked in the caller's transaction: it is merged into no other before
    that ends."""
    while queries["lock"].row(conversation_id=conversation_id) is None:
        merged_into: int | None = queries["merged_into"].scalar(conversation_id=conversation_id)
        if merged_into is None:  # it was erased
            break
        conversation_id = merged_into
    return conversation_id


def assign(conversation_id: int, owner: str, by: str, minutes: int | None = None) -> Any:
    """Makes somebody the owner, in the caller's transaction; what it returns is for `tickets_of`, once that is committed.

    `minutes` without a message bring a person's conversation back to the bot, 0: nothing does; None: as before, or as its chatbot
    says. `by`: api, desk, phone or provider. What has become a part of another conversation is that.
    """
    conversation_id = locked(conversation_id)
    show_silence(conversation_id, owner)
    if owner == "bot":
        return _give_back(conversation_id, by)
    return db.scalar("select conversation_take_over_v1(%s, %s, %s, %s)", [conversation_id, owner, by, minutes])


def show_silence(conversation_id: int, owner: str) -> None:
    """Before a conversation gets this owner, in that transaction: its visitor's open page says whether the bot is typing."""
    queries["show_silence"].rows(conversation_id=conversation_id, owner=owner)


def _give_back(conversation_id: int, by: str) -> Any:
    """The bot answers. A person who gives it back ends its silence (shared/ai/brakes.py), also where the bot has it already."""
    within = settings().answer_within
    was_braked = by in ("api", "desk") and queries["end_brake"].scalar(conversation_id=conversation_id)
    tickets = db.scalar("select conversation_give_back_v1(%s, %s, %s)", [conversation_id, by, within])
    if tickets is None and was_braked:
        tickets = queries["answer_again"].scalar(conversation_id=conversation_id, by=by, answer_within=within)
    return tickets or []


def assign_as_provider_says(chatbot_id: int, channel: str, external_user_id: str, owner: str) -> None:
    """The provider has said whose a thread is, also one that nobody has written in yet. Raises ServiceDown."""
    names = marks.of_name(chatbot_id, channel, external_user_id)
    was_erased_before = marks.is_erased(names)
    if contacts.is_erased(chatbot_id, channel, [external_user_id]):
        return
    with suppress(_Erased):
        with db.transaction():
            [found] = queries["conversation_of"].rows(chatbot_id=chatbot_id, channel=channel, external_user_id=external_user_id)
            if found["is_new"] and not was_erased_before and marks.is_erased(names):
                raise _Erased
            tickets = [*found["tickets"], *assign(found["id"], owner, "provider", PROVIDER_MINUTES)]
        enqueue(tickets_of(tickets))


def return_idle() -> int:
    """Gives the bot back what was silent for its minutes; returns how many conversations.

    Each is a transaction of its own, and one that cannot be given back keeps no other one.
    """
    idle = Conversation.select(Conversation.id).where(Conversation.returns_at <= fn.now())
    rows = db.rows(idle.order_by(Conversation.returns_at).limit(PAGE))
    return sum(run_each(partial(_return, row["id"]) for row in rows))


def _return(conversation_id: int) -> bool:
    """False if somebody was faster."""
    tickets = db.scalar("select conversation_give_back_v1(%s, 'idle', %s)", [conversation_id, settings().answer_within])
    if tickets is not None:
        enqueue(tickets_of(tickets))
    return tickets is not None
