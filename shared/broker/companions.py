"""What a thread does together with its own job: other jobs of its stage, all in one statement (shared/broker/fair_queue.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.broker.connection import Delivery
from shared.broker.redis_broker import get_broker


@dataclass(frozen=True)
class Companion:
    """A job, the delivery that brought it, and the work queue's item."""

    job_id: int
    delivery: Delivery
    item: Any


def companions() -> list[Companion]:
    """Those of the calling thread that are not done yet; none outside a worker."""
    queue = get_broker().work_queue
    items = queue.companions() if queue is not None else []
    return [Companion(item.message.args[0], _delivery(item), item) for item in items]


def _delivery(item: Any) -> Delivery:
    return item.message.queue_name, item.message.options["redis_message_id"]


def finish(companion: Companion) -> None:
    """The companion's job is completed: Dramatiq forgets its message."""
    broker, item = get_broker(), companion.item
    broker.consumer_threads[item.message.queue_name].post_process_message(item.message)
    if broker.work_queue is not None:
        broker.work_queue.companion_done(item)
