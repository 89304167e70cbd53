"""Hands tickets to Redis, after the commit, and knows which deliveries brought a thread its jobs.

Losing a ticket is no loss: the sweep finds the job in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from dramatiq.message import Message
from dramatiq.middleware import CurrentMessage

from shared import db, queues
from shared.broker.connection import Delivery, now_ms, outage
from shared.broker.redis_broker import addressed, get_broker
from shared.queues import Queue

_MESSAGE_ID = re.compile(r"job-([0-9]{1,18})")


@dataclass(frozen=True)
class Ticket:
    """A job to be handed to Redis."""

    id: int
    queue: Queue
    priority: int
    delay_ms: int = 0
    #: Customers take turns within a queue.
    customer: int | None = None


class EnqueueInTransactionError(RuntimeError):
    """Somebody tried to enqueue what is not committed yet."""


def tickets_of(rows: Iterable[dict[str, Any]]) -> list[Ticket]:
    """The tickets that a verb of schema.sql returned."""
    return [Ticket(row["id"], Queue(row["queue"]), row["priority"], row["delay_ms"], row.get("customer_id")) for row in rows]


def message_id(job_id: int) -> str:
    """The one id under which Redis carries a job, whatever delivers it."""
    return f"job-{job_id}"


def job_id_of(message_id: str) -> int | None:
    """The job that a message is about; None for another message, such as a dead letter."""
    match = _MESSAGE_ID.fullmatch(message_id)
    return int(match[1]) if match else None


def message_for(ticket: Ticket) -> Message[Any]:
    """The Dramatiq message of a job: its id, and its customer's for turns; the ledger has the rest."""
    lane = queues.lane(ticket.queue, ticket.priority)
    customer = {} if ticket.customer is None else {"customer": ticket.customer}
    return Message(
        queue_name=lane,
        actor_name=queues.actor_name(lane),
        args=(ticket.id,),
        kwargs={},
        options={"redis_message_id": message_id(ticket.id), **customer},
        message_id=message_id(ticket.id),
        message_timestamp=now_ms(),
    )


@dataclass(frozen=True)
class Companion:
    """Another job of this thread's stage, which it does together with its own, all in one statement (fair_queue.py)."""

    job_id: int
    delivery: Delivery
    item: Any


def companions() -> list[Companion]:
    """Those of the calling thread that are not done yet; none outside a worker."""
    queue = get_broker().work_queue
    items = queue.companions() if queue is not None else []
    return [Companion(item.message.args[0], _delivery_of(item.message), item) for item in items]


def finish_companion(companion: Companion) -> None:
    """The companion's job is completed: Dramatiq forgets its message."""
    broker, item = get_broker(), companion.item
    broker.consumer_threads[item.message.queue_name].post_process_message(item.message)
    if broker.work_queue is not None:
        broker.work_queue.companion_done(item)


def _delivery_of(message: Any) -> Delivery:
    return message.queue_name, message.options["redis_message_id"]


def current_delivery() -> Delivery | None:
    """What brought the job that this thread works on; None outside a worker."""
    message = CurrentMessage.get_current_message()
    return _delivery_of(message) if message is not None else None


def current_customer() -> int | None:
    """Whose job this thread works on, as its message says."""
    message = CurrentMessage.get_current_message()
    return message.options.get("customer") if message is not None else None


def enqueue(tickets: Iterable[Ticket], done: Sequence[Delivery] = ()) -> None:
    """Puts jobs on their Redis queues and forgets the deliveries of those that ended, in one round trip.

    Raises EnqueueInTransactionError; a Redis that is down, or full, is logged once and left to the sweep.
    """
    if db.in_transaction():
        raise EnqueueInTransactionError("enqueue() inside a transaction: a worker could look for the job before it is committed")
    messages = [addressed(message_for(ticket), ticket.delay_ms) for ticket in tickets]
    if not messages and not done:
        return
    try:
        get_broker().end(done, messages)
    except redis.RedisError as error:
        outage.noticed(error)
    else:
        if not done:  # a script that forgets first passes a full Redis
            outage.over()
