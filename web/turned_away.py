"""How often visitors of the widget were turned away, and by which limit: owners and operators see nothing of it otherwise.

Counted in Redis, only when somebody is turned away, so what is accepted pays nothing. Ids, counts and times, for DAYS; a Redis
that was lost has forgotten them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from werkzeug.exceptions import TooManyRequests

from shared.broker.connection import outage
from shared.broker.redis_broker import Broker, get_broker

#: By which limits, and the setting of each: messages of one visitor, of an address, of all visitors of a chatbot; new visitors of
#: an address; files of an address, of the business.
REASONS = {
    "visitor": "WIDGET_MESSAGES_PER_MINUTE",
    "address": "WIDGET_ADDRESS_MESSAGES_PER_MINUTE",
    "chatbot": "WIDGET_CHATBOT_MESSAGES_PER_MINUTE",
    "sessions": "WIDGET_SESSIONS_PER_MINUTE",
    "files": "MEDIA_QUOTA_MB",
    "quota": "MEDIA_QUOTA_MB",
}
#: Days that are counted together, today among them.
DAYS = 7
#: Chatbots that operators see, those first of which most visitors were turned away.
MOST = 20
_DAY = 86_400


@dataclass(frozen=True)
class TurnedAway:
    """Visitors of a chatbot, by one limit, in the last DAYS."""

    chatbot_id: int
    reason: str
    count: int
    first: datetime
    last: datetime


@contextmanager
def noted(chatbot_id: int, reason: str) -> Iterator[None]:
    """Notes that the limit which the block asks has turned a visitor away."""
    try:
        yield
    except TooManyRequests:
        note(chatbot_id, reason)
        raise


def note(chatbot_id: int, reason: str) -> None:
    """Counts one visitor who was turned away. While Redis is down nothing is counted."""
    broker, now = get_broker(), int(time.time())
    one_day, chatbots = _key(broker, now // _DAY, chatbot_id), _key(broker, now // _DAY)
    try:
        with broker.client.pipeline(transaction=False) as pipe:
            pipe.hincrby(one_day, f"{reason}:count", 1)
            pipe.hsetnx(one_day, f"{reason}:first", now)
            pipe.hset(one_day, f"{reason}:last", now)
            pipe.zincrby(chatbots, 1, str(chatbot_id))
            for key in (one_day, chatbots):
                pipe.expire(key, (DAYS + 1) * _DAY)
            pipe.execute()
    except redis.RedisError as problem:
        outage.noticed(problem)


def of_chatbots(chatbot_ids: Iterable[int]) -> list[TurnedAway]:
    """Those of these chatbots, by chatbot and limit. Raises redis.RedisError."""
    broker, wanted = get_broker(), list(chatbot_ids)
    with broker.client.pipeline(transaction=False) as pipe:
        for chatbot_id in wanted:
            for day in _days():
                pipe.hgetall(_key(broker, day, chatbot_id))
        answers = pipe.execute()
    by_day = [{name.decode(): int(value) for name, value in answer.items()} for answer in answers]
    by_chatbot = {chatbot_id: by_day[at * DAYS : (at + 1) * DAYS] for at, chatbot_id in enumerate(wanted)}
    return [one for chatbot_id, days in by_chatbot.items() for reason in REASONS if (one := _sum(chatbot_id, reason, days))]


def most_affected() -> list[int]:
    """The chatbots of which most visitors were turned away. Raises redis.RedisError."""
    broker, counts = get_broker(), Counter[int]()
    with broker.client.pipeline(transaction=False) as pipe:
        for day in _days():
            pipe.zrevrange(_key(broker, day), 0, MOST - 1, withscores=True)
        for answer in pipe.execute():
            counts.update({int(chatbot_id): int(count) for chatbot_id, count in answer})
    return [chatbot_id for chatbot_id, _count in counts.most_common(MOST)]


def _sum(chatbot_id: int, reason: str, days: list[dict[str, int]]) -> TurnedAway | None:
    of_reason = [day for day in days if f"{reason}:count" in day]
    if not of_reason:
        return None
    first, last = min(day[f"{reason}:first"] for day in of_reason), max(day[f"{reason}:last"] for day in of_reason)
    count = sum(day[f"{reason}:count"] for day in of_reason)
    return TurnedAway(chatbot_id, reason, count, datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))


def _days() -> range:
    today = int(time.time()) // _DAY
    return range(today - DAYS + 1, today + 1)


def _key(broker: Broker, day: int, chatbot_id: int | None = None) -> str:
    name = f"{broker.namespace}:turned-away:{day}"
    return name if chatbot_id is None else f"{name}:{chatbot_id}"
