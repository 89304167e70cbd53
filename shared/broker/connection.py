"""The connection to Redis: its client, its outages, its clock's unit, and settings of it that lose jobs."""

from __future__ import annotations

import logging
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.config import Settings
from shared.telemetry.outage import Outage

log = logging.getLogger(__name__)

#: Seconds to wait for Redis to answer; it answers in microseconds or is gone.
SOCKET_TIMEOUT = 5.0

outage = Outage("redis")

#: A message that a worker has taken: its Redis queue and its id there.
Delivery = tuple[str, str]


def now_ms() -> int:
    """Wall-clock milliseconds, as Dramatiq writes them into `eta` and heartbeats."""
    return int(time.time() * 1000)


def connect_redis(conf: Settings) -> redis.Redis:
    """The process's Redis client; a thread-safe pool."""
    return redis.Redis.from_url(
        conf.redis_address,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        # Dramatiq's own loops decide how long to wait; a hidden retry would only double an enqueue.
        retry=Retry(NoBackoff(), 0),
    )


def warn_about_forgetful_redis(client: redis.Redis) -> None:
    """Names, once at start, Redis settings that lose jobs; PostgreSQL remembers them, but a loss costs seconds."""
    try:
        policy = client.info("memory").get("maxmemory_policy", "unknown")
        persistent = client.info("persistence").get("aof_enabled")
    except redis.RedisError:
        return
    if policy != "noeviction":
        log.warning("redis_may_evict_jobs", extra={"policy": policy, "advice": "set maxmemory-policy to noeviction"})
    if not persistent:
        log.warning("redis_not_persistent", extra={"advice": "set appendonly to yes"})
