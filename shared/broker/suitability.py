"""Whether Redis is one that can be worked with at all; somebody has to change a setting where it is not."""

from __future__ import annotations

import sys

import redis

from shared.broker.connection import CLUSTER, word_for
from shared.broker.redis_broker import get_broker

_CLUSTER = (
    "REDIS_URL (or REDIS_HOST) leads to a Redis Cluster, or to a plan that spreads its keys over several shards. Switchboard "
    "changes several keys in one step, which these refuse. Take a Redis or Valkey with cluster mode disabled."
)
_SENTINEL = (
    "REDIS_URL (or REDIS_HOST) leads to a Sentinel, which only knows where Redis is. Give it the address of Redis itself or, "
    "where Sentinel moves that, a name or a proxy that always leads to the primary."
)


def check_address() -> None:
    """At the start of a process: ends it, saying why, if what REDIS_URL leads to is unsuitable.

    A Redis that is away is no reason not to start.
    """
    broker = get_broker()
    if reason := why_not(broker.client, broker.namespace):
        sys.exit(f"Switchboard did not start. {reason}")


def why_not(client: redis.Redis, namespace: str) -> str | None:
    """What is wrong with it; None if nothing is, as far as can be found out now."""
    try:
        # What it refuses counts: a proxy before shards may call itself no cluster.
        client.eval("return 1", 2, f"{namespace}:1", f"{namespace}:2")
    except redis.RedisError as problem:
        return _CLUSTER if word_for(problem) == CLUSTER else _SENTINEL if _is_sentinel(client) else None
    return None


def _is_sentinel(client: redis.Redis) -> bool:
    try:
        about = client.info("server")
        return "sentinel" in (about.get("redis_mode"), about.get("server_mode"))  # as Valkey calls it
    except redis.RedisError:
        return False
