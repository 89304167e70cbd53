"""What keeps customers of a business from an answer, in its owner's words: since when, how often, and what to do.

A single conversation's silence (a person has it, a brake) is told there. What is slow and not silent is not told, like a page
without a place for its stream, which asks again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from flask import url_for
from flask_babel import format_number
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from shared import db
from shared.broker.connection import outage
from shared.budgets import budgets
from shared.channels import accounts, health
from shared.channels.registry import SEND_QUEUES
from shared.config import settings
from shared.models import Chatbot
from shared.operations import pauses
from shared.queues import Queue
from web import turned_away
from web.desk.budgets import AT_LIMIT
from web.desk.message_words import CHANNEL_NAMES
from web.request_limits import files_of_an_address
from web.turned_away import TurnedAway

#: Queues of all businesses whose pause keeps answers back, beside those of channels.
_OF_ANSWERS = frozenset({Queue.INCOMING, Queue.MEDIA, Queue.AI, Queue.OUTGOING})
#: Limits that tell of one visitor or address, mostly of one that floods the chat; another reader need not be disturbed.
_OF_FEW = frozenset({"visitor", "address", "sessions", "files"})
_WAIT_FOR_END = _l(
    "What customers write is kept, and answered when the pause ends. Ask whoever runs the service how long that takes."
)
_ONE_CONNECTION = _l(
    "Mostly that is one who floods the chat, and nothing is to be done. If many customers sit behind that connection, ask "
    "whoever runs the service to raise the limit."
)
#: What happened, by limit, and what to do.
LIMITS: dict[str, tuple[object, object]] = {
    "visitor": (
        _l("%(name)s: a visitor wrote more than %(limit)s messages in a minute, and those beyond were refused."),
        _l("Nothing to do: the chat sends them again, some seconds later."),
    ),
    "address": (
        _l(
            "%(name)s: more than %(limit)s messages in a minute came from one internet connection, and those beyond were refused."
        ),
        _ONE_CONNECTION,
    ),
    "chatbot": (
        _l("%(name)s: all visitors together wrote more than %(limit)s messages in a minute, and those beyond were refused."),
        _l(
            "If so many customers write to you, ask whoever runs the service to raise the limit. If somebody floods the chat, it "
            "passes."
        ),
    ),
    "sessions": (
        _l("%(name)s: more than %(limit)s visitors in a minute came from one internet connection; those beyond could not write."),
        _ONE_CONNECTION,
    ),
    "files": (
        _l(
            "%(name)s: more than %(limit)s MB of files in a day came from one internet connection, and those beyond were refused."
        ),
        _l("They can write as before, and send files again a day later."),
    ),
    "quota": (
        _l("%(name)s: a file was refused, for the files of your customers fill the %(limit)s MB that you have."),
        _l(
            "Until there is room, no channel takes files. Ask whoever runs the service for more, or to keep files for fewer days."
        ),
    ),
}


@dataclass(frozen=True)
class Silence:
    """`count` and `last` are of what happens again and again; `href` is where to mend it."""

    what: str
    advice: str
    since: datetime | None
    href: str = ""
    count: int = 0
    last: datetime | None = None
    is_urgent: bool = True


def of_business(customer_id: int) -> list[Silence]:
    """All of a business, what concerns most customers first."""
    query = Chatbot.select(Chatbot.id, Chatbot.name).where(Chatbot.customer == customer_id)
    names = {row["id"]: row["name"] for row in db.rows(query)}
    own = [row for row in accounts.overview(customer_id) if row["active"]]
    found = [*_paused(customer_id, names, {row["channel"] for row in own}), *_down(own, names), *_used_up(customer_id, names)]
    return [*found, *sorted(_turned_away(names), key=lambda one: not one.is_urgent)]


def limit_of(reason: str) -> str:
    """The limit by which somebody was turned away, as a number to read."""
    conf = settings()
    numbers = {
        "visitor": conf.widget_messages_per_minute,
        "address": conf.widget_address_messages_per_minute,
        "chatbot": conf.widget_chatbot_messages_per_minute,
        "sessions": conf.widget_sessions_per_minute,
        "files": files_of_an_address(),
        "quota": conf.media_quota,
    }
    return str(format_number(numbers[reason]))


def _paused(customer_id: int, names: Mapping[int, str], channels: set[str]) -> Iterator[Silence]:
    for row in pauses.overview():
        is_own = row["chatbot_id"] in names or row["customer_id"] == customer_id
        is_of_all = row["chatbot_id"] is None and row["customer_id"] is None
        if not (is_own or is_of_all) or (row["queue"] and not _keeps_back(row["queue"], channels)):
            continue
        what = _("Whoever runs the service has paused all answers.")
        if row["channel"]:
            what = _("Whoever runs the service has paused answers by %(channel)s.", channel=CHANNEL_NAMES[row["channel"]])
        elif row["chatbot_id"]:
            what = _("Whoever runs the service has paused %(name)s.", name=names[row["chatbot_id"]])
        yield Silence(what, str(_WAIT_FOR_END), row["created_at"])


def _keeps_back(queue: str, channels: set[str]) -> bool:
    """Whether a queue's pause keeps answers back from customers on these channels."""
    return queue in _OF_ANSWERS or queue in {SEND_QUEUES[channel] for channel in channels}


def _down(own: Sequence[dict[str, Any]], names: Mapping[int, str]) -> Iterator[Silence]:
    for row in own:
        if row["state"] in health.DOWN:
            what = _("%(name)s cannot send by %(channel)s.", name=names[row["chatbot_id"]], channel=CHANNEL_NAMES[row["channel"]])
            there = url_for("desk.account", channel=row["channel"], chatbot_id=row["chatbot_id"])
            yield Silence(what, _("Replies wait, and leave when it can again. Its page says what to do."), row["since"], there)


def _used_up(customer_id: int, names: Mapping[int, str]) -> Iterator[Silence]:
    for budget in budgets.budgets(customer_id):
        if budget["exhausted_at"]:
            name, then = names.get(budget["chatbot_id"]), AT_LIMIT[budget["at_limit"]]
            what = _("The budget of all chatbots together is used up: %(then)s.", then=then)
            if name:
                what = _("The budget of %(name)s is used up: %(then)s.", name=name, then=then)
            advice = _("Raise it, or wait for the next month.")
            if budget["by_operator"]:
                advice = _("Ask whoever runs the service to raise it, or wait for the next month.")
            yield Silence(what, advice, budget["exhausted_at"], url_for("desk.budget", chatbot=budget["chatbot_id"]))


def _turned_away(names: Mapping[int, str]) -> list[Silence]:
    """Nothing while Redis, which counts them, is away."""
    try:
        return [_of_limit(one, names[one.chatbot_id]) for one in turned_away.of_chatbots(names)]
    except redis.RedisError as problem:
        outage.noticed(problem)
        return []


def _of_limit(one: TurnedAway, name: str) -> Silence:
    what, advice = LIMITS[one.reason]
    is_of_today = one.last > datetime.now(UTC) - timedelta(days=1)
    is_urgent = one.reason not in _OF_FEW and is_of_today
    text = str(what) % {"name": name, "limit": limit_of(one.reason)}
    return Silence(text, str(advice), one.first, count=one.count, last=one.last, is_urgent=is_urgent)
