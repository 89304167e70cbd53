"""What the audit's rows are about, in plain words: names in the place of ids, and details as the pages call them.

A row has the name of what it is about as it was called then; what was recorded by its id alone has the name of today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from flask import g
from flask_babel import format_decimal
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from peewee import JOIN, Field, fn

from shared import db
from shared.models import (
    ApiKey,
    BulkAction,
    Chatbot,
    Contact,
    Conversation,
    Customer,
    KnowledgeBase,
    KnowledgeItem,
    KnowledgeSource,
    QuickReply,
    User,
    WebhookEndpoint,
    WebhookEvent,
)
from web.audited import BY_API
from web.desk import dates
from web.desk.access import ROLES
from web.desk.chatbots import SECTIONS
from web.desk.inbox import customer_name
from web.desk.language import languages
from web.desk.message_words import CHANNEL_NAMES
from web.desk.operate import words
from web.desk.setting_words import settings_named

Row: TypeAlias = dict[str, Any]
#: A kind of thing, and one of them.
Thing: TypeAlias = tuple[str, int]
Names: TypeAlias = Mapping[Thing, str]

#: What kinds are called, where one of them has no name (any more).
NOUNS: Mapping[str, LazyString] = {
    "budget": _l("budget"),
    "channel": _l("channel of chatbot"),
    "chatbot": _l("chatbot"),
    "contact": _l("contact"),
    "conversation": _l("conversation"),
    "customer": _l("business"),
    "failures": _l("failures"),
    "key": _l("API key"),
    "knowledge base": _l("knowledge base"),
    "knowledge gap": _l("open question"),
    "knowledge item": _l("piece of knowledge"),
    "knowledge source": _l("source"),
    "pause": _l("pause"),
    "price": _l("price"),
    "quick_reply": _l("quick reply"),
    "replay": _l("replay"),
    "user": _l("user"),
    "webhook": _l("webhook"),
    "webhook event": _l("event"),
}
#: Of an operator's look: the page, by its endpoint, and what its id is of.
PAGES: Mapping[str, tuple[LazyString, str]] = {
    "conversation": (_l("conversation"), "conversation"),
    "conversation_thread": (_l("conversation"), "conversation"),
    "gaps": (_l("open questions"), "knowledge base"),
    "inbox": (_l("inbox"), ""),
    "journey": (_l("journey of a message"), "message"),
    "media": (_l("file of a message"), "file"),
    "new_replay": (_l("samples of a replay"), ""),
    "failure": (_l("a reason of failures"), ""),
    "failures_list": (_l("failures"), ""),
    "webhook": (_l("webhook"), "webhook"),
}
#: What details are called; what has no name says itself what it is. What is not here is shown as it is written: a test finds it.
LABELS: Mapping[str, LazyString | str] = {
    "by": "",
    "changed": _l("changed"),
    "channel": _l("channel"),
    "chatbot": _l("chatbot"),
    "chatbot_id": _l("chatbot"),
    "completion": _l("a million tokens out"),
    "count": _l("failures"),
    "customer": _l("business"),
    "endpoint": _l("webhook"),
    "error": _l("reason"),
    "events": _l("events"),
    "language": _l("language"),
    "manages": _l("manages"),
    "messages": _l("messages"),
    "minute": _l("a minute of voice"),
    "model": _l("model"),
    "money": _l("money"),
    "plan": _l("plan, dollars a month"),
    "prompt": _l("a million tokens in"),
    "queue": _l("stage"),
    "role": _l("role"),
    "section": _l("page"),
    "sessions": _l("browsers"),
    "since": _l("since"),
    "state": _l("state"),
    "status": _l("state"),
    "tokens": _l("tokens"),
    "until": _l("until"),
    "user": _l("colleague"),
}
#: Values that are words of ours.
VALUES: Mapping[str, LazyString] = {
    **ROLES,
    "invitation": _l("with an invitation"),
    "reset": _l("with a link for a forgotten password"),
    "first_operator": _l("with the link of the first operator"),
    "profile": _l("in their profile"),
    "login": _l("from the login page"),
    "desk": _l("at the desk"),
    "FAILED": _l("Failed"),
    "DELIVERED": _l("Delivered"),
}
#: Hebrew, Arabic and their neighbours.
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_FIELDS: Mapping[str, Field] = {
    "chatbot": Chatbot.name,
    "channel": Chatbot.name,
    "customer": Customer.name,
    "key": ApiKey.name,
    "knowledge base": KnowledgeBase.name,
    "knowledge item": KnowledgeItem.title,
    "knowledge source": KnowledgeSource.location,
    "quick_reply": QuickReply.shortcut,
    "replay": BulkAction.name,
    "user": User.name,
    "webhook event": WebhookEvent.event,
}
#: One has a name if somebody gave it one.
_WEBHOOK = fn.coalesce(fn.nullif(WebhookEndpoint.description, ""), WebhookEndpoint.url)
#: Details that are ids: the kind of each.
_IDS = {"user": "user", "chatbot": "chatbot", "chatbot_id": "chatbot", "customer": "customer", "endpoint": "webhook"}


def facts(rows: list[Row]) -> list[str]:
    """Of each row: what it is about, and its details, in one line."""
    names = _names(rows)
    return [_line(row, names) for row in rows]


def told(details: Mapping[str, Any]) -> list[str]:
    """Details that are no row's: each as its name and its value."""
    names = _names([{"action": "", "subject": "", "subject_id": None, "details": details}])
    return [_isolated(detail) for detail in _details(details, names)]


def _details(details: Mapping[str, Any], names: Names) -> list[str]:
    labels = {name: str(LABELS.get(name, name.replace("_", " "))) for name in details}
    return [f"{label}: " * bool(label) + _value(name, details[name], names) for name, label in labels.items()]


def _line(row: Row, names: Names) -> str:
    details = {name: value for name, value in row["details"].items() if value not in (None, "", [])}
    if details.get("by") == BY_API and "key" in details:  # that is who
        details = {name: value for name, value in details.items() if name not in ("by", "key", "key_id")}
    if is_taken(row):
        details.pop("user")
    told = details.pop("name", None)
    parts = [] if is_about_oneself(row) else [str(told) if told else _subject(row, names)]
    parts += _details(details, names)
    return ", ".join(_isolated(part) for part in parts if part)


def _isolated(part: str) -> str:
    """Between Unicode's marks that keep the commas around it in their places, if it is written from right to left."""
    return f"\u2068{part}\u2069" if _RIGHT_TO_LEFT.search(part) else part


def is_about_oneself(row: Row) -> bool:
    """What somebody did to himself needs no name."""
    return bool(row["subject"] == "user" and row["subject_id"] == row["user_id"])


def is_taken(row: Row) -> bool:
    """Who gives a conversation to himself takes it."""
    return bool(row["action"] == "conversation.assigned" and row["user_id"] and row["details"].get("user") == row["user_id"])


def _subject(row: Row, names: Names) -> str:
    kind, found = row["subject"], row["subject_id"]
    if row["action"] == "texts.read":
        page, kind = PAGES.get(kind, (kind.replace("_", " "), ""))
        return f"{page} {names.get((kind, found), found)}" if found else str(page)
    if (kind, found) in names:
        return names[kind, found]
    return f"{NOUNS.get(kind, kind.replace('_', ' '))} {found}" if found else ""


def _value(name: str, value: Any, names: Names) -> str:
    if name in _IDS:
        return str(names.get((_IDS[name], value), value))
    shown: Callable[[str], object] | None = _SHOWN.get(name)
    return str(shown(str(value)) if shown else VALUES.get(str(value), value))


def _when(text: str) -> str:
    try:
        return dates.exact(datetime.fromisoformat(text))
    except ValueError:
        return text


def _amount(text: str) -> str:
    try:
        return str(format_decimal(Decimal(text), "#,##0.######"))
    except InvalidOperation:
        return text


_SHOWN: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("completion", "minute", "money", "plan", "prompt", "tokens"), _amount),
    "channel": lambda value: CHANNEL_NAMES.get(value, value),
    "changed": settings_named,
    "error": words.code,
    "language": lambda value: languages().get(value, value),
    "queue": lambda value: words.QUEUES.get(value, value),
    "section": lambda value: SECTIONS[value].label if value in SECTIONS else value,
    "since": _when,
    "state": lambda value: words.STATES.get(value, value),
    "until": _when,
}


def _names(rows: Iterable[Row]) -> dict[Thing, str]:
    """Of everything that the rows have by its id."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        kind = PAGES.get(row["subject"], ("", ""))[1] if row["action"] == "texts.read" else row["subject"]
        ids = {name: row["details"].get(name) for name in _IDS}
        for thing, found in [(kind, row["subject_id"]), *((_IDS[name], value) for name, value in ids.items())]:
            if isinstance(found, int):
                wanted.setdefault(thing, set()).add(found)
    return {(kind, found): name for kind, ids in wanted.items() for found, name in _of_kind(kind, ids)}


def _of_kind(kind: str, ids: set[int]) -> list[tuple[int, str]]:
    if kind == "conversation":
        return _people(ids)
    if kind == "webhook":
        rows = db.rows(WebhookEndpoint.select(WebhookEndpoint.id, _WEBHOOK.alias("name")).where(WebhookEndpoint.id.in_(ids)))
    elif field := _FIELDS.get(kind):
        rows = db.rows(field.model.select(field.model.id, field.alias("name")).where(field.model.id.in_(ids)))
    else:
        rows = []
    return [(row["id"], row["name"]) for row in rows if row["name"]]


def _people(ids: set[int]) -> list[tuple[int, str]]:
    """Whom conversations are with. To operators it is not said: it would be a look of theirs."""
    if g.user.role == "operator":
        return []
    columns = (Conversation.id, Conversation.channel, Conversation.external_user_id, Contact.name.alias("contact_name"))
    found = Conversation.select(*columns).join(Contact, JOIN.LEFT_OUTER, on=(Conversation.contact == Contact.id))
    return [(row["id"], customer_name(row)) for row in db.rows(found.where(Conversation.id.in_(ids)))]
