"""When something was last done by any process, by Redis' clock."""

from __future__ import annotations

from shared.broker.connection import redis_now_ms
from shared.broker.redis_broker import get_broker


class LastTime:
    """A time that Redis remembers, under this name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def note(self, only_first: bool = False) -> None:
        """It is now; `only_first`: unless Redis remembers one. Raises RedisError."""
        client = get_broker().client
        client.set(self._key(), redis_now_ms(client) // 1000, nx=only_first)

    def ago(self) -> float | None:
        """Seconds since then; None if there was none that Redis remembers. Raises RedisError."""
        client = get_broker().client
        at = client.get(self._key())
        return None if at is None else max(0.0, redis_now_ms(client) / 1000 - float(at))

    def _key(self) -> str:
        return f"{get_broker().namespace}:{self._name}"
