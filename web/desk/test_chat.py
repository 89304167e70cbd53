"""The test chat of a chatbot: an ordinary conversation of the widget, and why each of its answers is as it is.

Its visitor's id (web/widget/testers.py) marks the conversation: the inbox, e-mails about handoffs and open questions leave it
out. Its messages go the way of a customer's, webhooks included: what works here works there.
"""

from __future__ import annotations

from typing import Any

from flask import session
from peewee import JOIN

from shared import db
from shared.models import Conversation, KnowledgeBase, KnowledgeItem, Message
from web.widget.testers import new_id, user_of
from web.widget.visitor import Visitor, token_of

#: Questions that are explained.
_SHOWN = 5
#: Where this browser's session keeps its visitors, by chatbot, and how many of late: browsers drop a cookie beyond 4 KB.
_KEPT, _MOST = "tests", 20


def begin(chatbot_id: int, user_id: int) -> None:
    """Another visitor from now on: the chatbot has forgotten what was said."""
    others = [(bot, visitor) for bot, visitor in session.get(_KEPT, {}).items() if bot != str(chatbot_id)]
    session[_KEPT] = dict([*others[1 - _MOST :], (str(chatbot_id), new_id(user_id))])


def token(chatbot_id: int) -> str:
    """What the chat's page shows itself with; "" if there is no test."""
    visitor = _visitor(chatbot_id)
    return token_of(Visitor(chatbot_id, visitor)) if visitor else ""


def answers(customer_id: int, chatbot_id: int) -> list[dict[str, Any]]:
    """The latest questions with their answers, newest first: what of the knowledge was used, or what the provider said."""
    reply = Message.alias()
    is_test = (Conversation.chatbot == chatbot_id) & (Conversation.channel == "widget")
    is_test &= Conversation.external_user_id == (_visitor(chatbot_id) or "")
    asked = (
        Message.select(
            Message.id,
            Message.conversation,
            Message.content.alias("question"),
            Message.error,
            Message.created_at,
            Conversation.owner,
            reply.content.alias("answer"),
            reply.status,
            reply.metadata.alias("about"),
            (reply.created_at - Message.created_at).alias("took"),
        )
        .join(Conversation)
        .switch(Message)
        .join(reply, JOIN.LEFT_OUTER, on=(reply.reply_to == Message.id))
        .where(is_test, Message.role == "user")
        .order_by(Message.id.desc())
        .limit(_SHOWN)
    )
    rows = db.rows(asked)
    titles = _titles(customer_id, {used["id"] for row in rows for used in _used(row)})
    return [{**row, "used": [{**used, **titles[used["id"]]} for used in _used(row) if used["id"] in titles]} for row in rows]


def _used(row: dict[str, Any]) -> list[dict[str, Any]]:
    about = row["about"] or {}
    return list(about.get("knowledge", []))


def _titles(customer_id: int, ids: set[int]) -> dict[int, dict[str, Any]]:
    """The items that are still there."""
    if not ids:
        return {}
    own = (KnowledgeBase.customer == customer_id) & KnowledgeItem.id.in_(ids)
    columns = (KnowledgeItem.id, KnowledgeItem.title, KnowledgeItem.knowledge_base)
    return {row["id"]: row for row in db.rows(KnowledgeItem.select(*columns).join(KnowledgeBase).where(own))}


def _visitor(chatbot_id: int) -> str | None:
    visitor: str = session.get(_KEPT, {}).get(str(chatbot_id), "")
    return visitor if user_of(visitor) else None
