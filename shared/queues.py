"""The names where stages meet: queues, lanes, priorities, and which actor serves which.

Outside this module `ai-processing` and `webhook-delivery` are one queue each; in Redis they are several, one for each priority,
because Dramatiq orders only what a worker has already fetched.
"""

from __future__ import annotations

from enum import StrEnum


class Queue(StrEnum):
    """A stage's queue, as the ledger names it."""

    INCOMING = "incoming-messages"
    MEDIA = "media-fetch"
    AI = "ai-processing"
    OUTGOING = "outgoing-messages"
    WHATSAPP_CLOUD = "whatsapp-cloud-send"
    WHATSAPP_QR = "whatsapp-qr-send"
    TELEGRAM = "telegram-send"
    WEBHOOKS = "webhook-delivery"
    KNOWLEDGE_IMPORT = "knowledge-import"
    KNOWLEDGE_EMBEDDING = "knowledge-embedding"


#: The module of workers/ that serves each queue.
MODULES: dict[Queue, str] = {
    Queue.INCOMING: "incoming",
    Queue.MEDIA: "media_fetch",
    Queue.AI: "ai",
    Queue.OUTGOING: "outgoing",
    Queue.WHATSAPP_CLOUD: "whatsapp_cloud",
    Queue.WHATSAPP_QR: "whatsapp_qr",
    Queue.TELEGRAM: "telegram",
    Queue.WEBHOOKS: "webhooks",
    Queue.KNOWLEDGE_IMPORT: "knowledge_import",
    Queue.KNOWLEDGE_EMBEDDING: "knowledge_embed",
}

#: The process type of the Procfile that serves what prepares knowledge. No customer waits for it, so one has it all.
KNOWLEDGE_PROCESS = "knowledge"
#: The process type that serves each queue: that of its module's name, but for a shorter one and for those that share one.
PROCESS_TYPES: dict[Queue, str] = MODULES | {
    Queue.MEDIA: "media",
    Queue.KNOWLEDGE_IMPORT: KNOWLEDGE_PROCESS,
    Queue.KNOWLEDGE_EMBEDDING: KNOWLEDGE_PROCESS,
}
#: Process types through which messages and events pass, each with a stage of its own.
MESSAGE_PROCESSES = tuple(name for name in PROCESS_TYPES.values() if name != KNOWLEDGE_PROCESS)

#: Stages whose jobs PostgreSQL adds by itself, when a row changes. Nobody hands these to Redis at once; the sweep does.
ADDED_BY_DATABASE = frozenset({Queue.KNOWLEDGE_EMBEDDING})

#: Stages that only talk to PostgreSQL: they complete a job in one statement, and claim nothing (shared/jobs/stage.py).
UNCLAIMED = frozenset({Queue.INCOMING, Queue.OUTGOING})

#: Redis queue of the periodic jobs of workers/maintenance.py; no stage.
MAINTENANCE_QUEUE = "maintenance"

#: Redis queues for which no customer waits. A process that serves only these looks for work by itself instead of listening
#: for it: one connection to Redis less, of which small plans have few.
POLLED = frozenset({Queue.KNOWLEDGE_IMPORT.value, Queue.KNOWLEDGE_EMBEDDING.value, MAINTENANCE_QUEUE})

#: Priorities of AI jobs by the customer's plan: from $100 a month, from $50, below (`customer.priority` in schema.sql).
PRIORITIES = (1, 3, 5)
LOWEST = PRIORITIES[-1]

#: Priority of events that are delivered again, by themselves or in bulk: behind those that are delivered for the first time.
BEHIND = 7

_LANES: dict[Queue, dict[int, str]] = {
    Queue.AI: {1: "ai-processing.premium", 3: "ai-processing.pro", 5: "ai-processing.basic"},
    Queue.WEBHOOKS: {LOWEST: "webhook-delivery", BEHIND: "webhook-delivery.again"},
}
#: The stage of each Redis queue that has another name than its stage.
_STAGES = {lane: queue.value for queue, lanes in _LANES.items() for lane in lanes.values()}


def lanes(queue: Queue) -> dict[int, str]:
    """The Redis queues of a stage, by actor priority: one for most, three for AI, two for webhooks."""
    return dict(_LANES.get(queue) or {LOWEST: queue.value})


def lane(queue: Queue, priority: int) -> str:
    """The Redis queue that carries a job of this priority."""
    return lanes(queue).get(priority, lanes(queue)[LOWEST])


def stage(redis_queue: str) -> str:
    """The queue, as the ledger names it, that a Redis queue is a lane of."""
    return _STAGES.get(redis_queue, redis_queue)


def actor_name(redis_queue: str) -> str:
    """The actor that serves a Redis queue; producers address it by this name, without importing it."""
    return redis_queue


def dead_letter_name(queue: Queue) -> str:
    """The dead_letter actor of a stage's process; it rides in the stage's own queue."""
    return f"dead_letter.{queue.value}"


def is_dead_letter(actor: str) -> bool:
    """Whether an actor is one of those; their messages overtake what waits."""
    return actor.startswith("dead_letter.")


def every_lane() -> list[str]:
    """All Redis queues of all stages."""
    return [name for queue in Queue for name in lanes(queue).values()]
