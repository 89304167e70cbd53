"""Whether Redis takes what our scripts do, found out by doing it: one that answers may be full, a replica, or forbid a part."""

from __future__ import annotations

from pathlib import Path

from shared.broker.redis_broker import get_broker

_PROBE = Path(__file__).with_name("probe.lua").read_text(encoding="utf-8")


def probe() -> None:
    """Raises redis.RedisError."""
    broker = get_broker()
    broker.client.register_script(_PROBE)(keys=[f"{broker.namespace}:probe"], args=[f"{broker.wake_channel}probe"])
