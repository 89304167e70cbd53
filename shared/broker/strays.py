"""Messages that Redis keeps and carries in no place, so that nobody would ever take them."""

from __future__ import annotations

import logging
from pathlib import Path

from shared.broker.redis_broker import every_queue, get_broker

log = logging.getLogger(__name__)
_STRAYS = Path(__file__).with_name("strays.lua").read_text(encoding="utf-8")
#: Ids that a log line names.
_NAMED = 10


def put_back() -> int:
    """Puts them back on their queues; returns how many there were. Raises redis.RedisError, when all queues had their turn."""
    broker = get_broker()
    args = [broker.wake_channel, *every_queue()]
    found: list[list[bytes]] = broker.client.register_script(_STRAYS)(keys=[broker.namespace], args=args)
    for queue_name in sorted({queue_name.decode() for queue_name, _ in found}):
        ids = [message_id.decode(errors="replace") for name, message_id in found if name.decode() == queue_name]
        log.warning("stray_messages_put_back", extra={"redis_queue": queue_name, "messages": ids[:_NAMED], "count": len(ids)})
    return len(found)
