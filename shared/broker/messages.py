"""Dramatiq messages as Redis keeps them: the id of each, and whether what stands in Redis is one at all."""

from __future__ import annotations

from typing import Any

from dramatiq.common import dq_name
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from shared.broker.connection import now_ms

#: A customer's id; a stock client gives none.
_CUSTOMER = (int, str, type(None))


def addressed(message: Message[Any], delay: int | None) -> Message[Any]:
    """The message with the id under which Redis keeps it; delayed, with its time, on the delay queue.

    A job's message keeps one id for all its deliveries, so that Redis never carries a job twice.
    """
    if not delay and "redis_message_id" in message.options:
        return message
    options: dict[str, Any] = {"redis_message_id": message.options.get("redis_message_id") or message.message_id}
    queue_name = message.queue_name
    if delay is not None and delay > 0:
        queue_name = dq_name(queue_name)
        options["eta"] = now_ms() + delay
    return message.copy(queue_name=queue_name, options=options)


def read(data: bytes) -> Message[Any] | None:
    """The message; None where it is none that a worker can handle: somebody else wrote it, or it was cut off."""
    try:
        message: Message[Any] = Message.decode(data)
    except DecodeError:
        return None
    options = message.options
    is_sound = isinstance(options, dict) and isinstance(message.kwargs, dict) and isinstance(message.actor_name, str)
    if is_sound and isinstance(options.get("redis_message_id"), str) and isinstance(options.get("customer"), _CUSTOMER):
        return message
    return None


def id_of(data: bytes) -> str | None:
    """The id under which Redis keeps a message; None where it is none."""
    message = read(data)
    return message.options["redis_message_id"] if message else None
