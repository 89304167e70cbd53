"""How much a visitor may say, and all visitors of a chatbot together: counted in Redis, over a sliding minute."""

from __future__ import annotations

import math
import time
from functools import lru_cache

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from werkzeug.exceptions import TooManyRequests

from shared.broker import connect_redis
from shared.config import Settings, settings
from shared.consumer import outage
from web.widget_visitor import Visitor


@lru_cache(maxsize=4)
def _limiter(conf: Settings) -> SlidingWindowCounterRateLimiter:
    pool = connect_redis(conf).connection_pool
    storage = RedisStorage(conf.redis_address, connection_pool=pool, key_prefix=f"{conf.redis_namespace}:widget-limit")
    return SlidingWindowCounterRateLimiter(storage)


def check_rate(visitor: Visitor) -> None:
    """Counts a message. Raises TooManyRequests, which says when to come again.

    While Redis is away nothing is counted: a message is accepted then as well, and PostgreSQL keeps it.
    """
    conf = settings()
    limits = (
        (conf.widget_messages_per_minute, f"visitor:{visitor.line}", "this visitor"),
        (conf.widget_chatbot_messages_per_minute, f"chatbot:{visitor.chatbot_id}", "all visitors of this chatbot"),
    )
    try:
        for most, name, who in limits:
            _count(_limiter(conf), most, name, who)
    except redis.RedisError as problem:
        outage.noticed(problem)


def _count(limiter: SlidingWindowCounterRateLimiter, most: int, name: str, who: str) -> None:
    item = RateLimitItemPerMinute(most)
    if not limiter.hit(item, name):
        wait = max(1, math.ceil(limiter.get_window_stats(item, name).reset_time - time.time()))
        raise TooManyRequests(f"{who} may send {most} messages a minute; want the next in {wait} s", retry_after=wait)
