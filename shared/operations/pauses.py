"""Pauses: work on a queue, a channel, a chatbot or a customer waits, and goes on later in its order.

What customers write is stored all the while, unless its own queue is paused. Workers learn of a pause within a third of
JOB_LEASE_SECONDS (shared/jobs/pauses.py); what they are doing at that moment they finish.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from peewee import JOIN, Cast, Value, fn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels.registry import CHANNELS, SEND_QUEUES
from shared.db import sql
from shared.models import Chatbot, Customer, Job, Pause, PauseRelease
from shared.queues import UNCLAIMED, Queue

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Jobs a second that leave when a pause ends: a burst would meet every provider's limit.
PACE = 50.0
#: Jobs that are released at once: a worker that wants one of them waits so long.
AT_ONCE = 500
#: Stages whose jobs are not one chatbot's.
_OF_NO_CHATBOT = frozenset({Queue.WEBHOOKS, Queue.KNOWLEDGE_IMPORT, Queue.KNOWLEDGE_EMBEDDING})


class NoSuchSubject(ValueError):
    """There is nothing of this kind to pause; the text is for whoever asked, `kind` for a page that says it in its own words."""

    def __init__(self, text: str, kind: str = "gone") -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Subject:
    """What is paused: a queue, a chatbot, a customer; with queue and chatbot, a chatbot's account on a channel."""

    queue: str | None = None
    chatbot_id: int | None = None
    customer_id: int | None = None


def subject(
    queue: str | None = None, channel: str | None = None, chatbot_id: int | None = None, customer_id: int | None = None
) -> Subject:
    """What somebody means. Raises NoSuchSubject."""
    if queue is not None and channel is not None:
        raise NoSuchSubject("name a queue or a channel, not both", "both")
    if channel is not None:
        queue = SEND_QUEUES.get(channel)
        if queue is None:
            sending = ", ".join(name for name, one in CHANNELS.items() if one.send_queue)
            raise NoSuchSubject(f"{channel!r} is no channel that can be paused; use {sending}, or pause the chatbot")
    if queue is not None and queue not in list(Queue):
        raise NoSuchSubject(f"there is no queue {queue!r}; use one of {', '.join(Queue)}")
    if customer_id is not None and db.row(Customer.select(Customer.id).where(Customer.id == customer_id)) is None:
        raise NoSuchSubject(f"there is no customer {customer_id}")
    if chatbot_id is not None:
        bot = db.row(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id))
        if bot is None:
            raise NoSuchSubject(f"there is no chatbot {chatbot_id}")
        if customer_id not in (None, bot["customer_id"]):
            raise NoSuchSubject(f"chatbot {chatbot_id} is customer {bot['customer_id']}'s, not customer {customer_id}'s")
    # It would hold nothing: claimless stages do not know whose a job is (shared/jobs/pauses.py).
    for who, id, never in (("chatbot", chatbot_id, UNCLAIMED | _OF_NO_CHATBOT), ("customer", customer_id, UNCLAIMED)):
        if id is not None and queue in never:
            raise NoSuchSubject(
                f"{queue} is not paused for one {who}; pause the {who} without a queue, or the whole queue", "of_all"
            )
    if queue is None and chatbot_id is None and customer_id is None:
        raise NoSuchSubject("name a queue, a channel, a chatbot or a customer", "nothing")
    return Subject(queue, chatbot_id, customer_id)


def pause(what: Subject, by: str, reason: str | None = None) -> int:
    """Pauses; returns the pause's id, or that of the pause that there is."""
    fields = {"queue": what.queue, "chatbot": what.chatbot_id, "customer": what.customer_id}
    new = Pause.insert(**fields, reason=reason or None, created_by=by).on_conflict_ignore().returning(Pause.id)
    existing = Pause.select(Pause.id).where(*(_is(column, value) for column, value in fields.items()))
    while (pause_id := db.scalar(new)) is None:
        if (existing_id := db.scalar(existing)) is not None:  # else somebody has ended it in between
            return int(existing_id)
    log.warning("pause_begun", extra={"pause": pause_id, "by": by, **asdict(what)})
    return int(pause_id)


def _is(column: str, value: object) -> Any:
    field = getattr(Pause, column)
    return field.is_null() if value is None else field == value


def resume(pause_id: int, by: str, pace: float = PACE, note: Callable[[], object] = lambda: None) -> int | None:
    """Ends a pause; returns how many jobs leave now, one after the other. None: there is no such pause.

    `note` is called within the transaction that ends it.
    """
    with db.transaction():
        if not db.rows(Pause.delete().where(Pause.id == pause_id).returning(Pause.id)):
            return None
        db.rows(PauseRelease.insert(pause_id=pause_id, pace=pace, next_at=fn.clock_timestamp()))
        note()
    released = _release(pause_id, pace)
    log.warning("pause_ended", extra={"pause": pause_id, "by": by, "jobs": released})
    return released


def release_ended() -> int:
    """Releases what is still parked for a pause that is over, as its customer was deleted, or whoever ended it died at that."""
    released = sum(_release(row["id"], PACE) for row in queries["ended"].rows())
    queries["forget_plans"].rows()
    if released:
        log.warning("pause_released_by_sweep", extra={"jobs": released})
    return released


def _release(pause_id: int, pace: float) -> int:
    """In transactions of AT_ONCE jobs each: whoever dies between two of them has lost nothing, and the sweep goes on.

    At the pace that was stored when the pause ended; `pace` is for one that nobody ended.
    """
    released = 0
    while True:
        tickets = queries["release"].scalar(id=pause_id, pace=pace, limit=AT_ONCE)
        enqueue(tickets_of(tickets))
        released += len(tickets)
        if len(tickets) < AT_ONCE:
            return released


def paused_customers() -> set[int]:
    """The customers all of whose work waits."""
    whole = Pause.customer.is_null(False) & Pause.queue.is_null() & Pause.chatbot.is_null()
    return {row["customer_id"] for row in db.rows(Pause.select(Pause.customer).where(whole))}


def overview(customer_id: int | None = None) -> list[dict[str, Any]]:
    """All pauses, or those of a customer's own things, with names and how many jobs wait, without those behind them in line."""
    waiting = Job.select(fn.count(Job.id)).where(
        Job.waits_for == Value("pause ").concat(Cast(Pause.id, "text")), Job.closed_at.is_null(), Job.state == "delayed"
    )
    owner = Customer.alias("owner")
    rows = (
        Pause.select(
            Pause,
            fn.coalesce(Customer.name, owner.name).alias("customer_name"),
            Chatbot.name.alias("chatbot_name"),
            waiting.alias("waiting"),
        )
        .join(Customer, JOIN.LEFT_OUTER, on=Customer.id == Pause.customer)
        .join(Chatbot, JOIN.LEFT_OUTER, on=Chatbot.id == Pause.chatbot)
        .join(owner, JOIN.LEFT_OUTER, on=owner.id == Chatbot.customer)
        .order_by(Pause.id)
    )
    if customer_id is not None:
        rows = rows.where((Pause.customer == customer_id) | (Chatbot.customer == customer_id))
    channels = {queue: name for name, queue in SEND_QUEUES.items() if queue}
    return [{**row, "channel": channels.get(row["queue"])} for row in db.rows(rows)]
