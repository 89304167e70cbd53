"""Messages that Redis keeps and carries in no place, so that nobody would ever take them."""

from __future__ import annotations

import logging
from pathlib import Path

from shared.broker.redis_broker import get_broker

log = logging.getLogger(__name__)
_STRAYS = Path(__file__).with_name("strays.lua").read_text(encoding="utf-8")
#: Ids that a log line names.
_NAMED = 10


def put_back(queue_name: str) -> int:
    """Puts those of a queue back on it; returns how many there were. Raises redis.RedisError."""
    broker = get_broker()
    found: list[bytes] = broker.client.register_script(_STRAYS)(keys=[broker.namespace], args=[broker.wake_channel, queue_name])
    if found:
        ids = [message_id.decode(errors="replace") for message_id in found[:_NAMED]]
        log.warning("stray_messages_put_back", extra={"redis_queue": queue_name, "messages": ids, "count": len(found)})
    return len(found)
