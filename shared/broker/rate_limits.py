"""Rate limits of queues, of WhatsApp numbers and of webhook endpoints, shared by all processes through Redis (admit.lua).

Our own script and not a library's window: a window only refuses, and a refused job must ask again and again, in no order.
Here a job that is refused gets a turn, by priority and age: it comes again once, and then passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis

from shared.broker.connection import outage
from shared.broker.redis_broker import Broker, get_broker
from shared.config import settings
from shared.errors import RateLimited
from shared.queues import Queue
from shared.setting_types import Rate

#: Seconds by which a window is kept wider than it was set, for what passes evenly may arrive bunched.
MARGIN = 0.05
#: Seconds after its turn for which a reserved slot is kept: enough for a retry of Redis or a busy worker, not for a dead one.
GRACE = 2.0

_SCRIPT = Path(__file__).with_name("admit.lua").read_text(encoding="utf-8")


def admit(job_id: int, queue: Queue, priority: int, number: str | None = None) -> None:
    """Lets a job through the limits of its queue and of its WhatsApp number (`number` names it); free where neither is set.

    Raises RateLimited, until the job's turn. While Redis is away every job passes: a limit must not lose any.
    """
    admit_within(job_id, priority, _limits(queue, number))


def admit_within(job_id: int, priority: int, limits: Mapping[str, Rate]) -> None:
    """The same, within these limits, by the names under which they are shared and told."""
    if not limits:
        return
    try:
        wait, limit_number = _ask(get_broker(), job_id, priority, tuple(limits.items()))
    except redis.RedisError as problem:
        outage.noticed(problem)
        return
    if wait:
        name, rate = list(limits.items())[limit_number - 1]
        raise RateLimited(wait / 1000, f"rate limit of {name}: {rate}")


def is_limited(queue: Queue) -> bool:
    """Whether a stage's jobs have to ask."""
    return bool(_limits(queue, None))


def _limits(queue: Queue, number: str | None) -> dict[str, Rate]:
    conf = settings()
    configured: dict[str, Rate | None] = {queue.value: getattr(conf, f"rate_limit_{queue.replace('-', '_')}")}
    if number is not None:
        configured[number] = conf.rate_limit_whatsapp_number
    return {name: rate for name, rate in configured.items() if rate is not None}


def _ask(broker: Broker, job_id: int, priority: int, limits: tuple[tuple[str, Rate], ...]) -> tuple[int, int]:
    keys = [f"{broker.namespace}:rate:{name}:{part}" for name, _ in limits for part in ("passed", "line", "due")]
    args: list[Any] = [job_id, priority, int(GRACE * 1000)]
    for _, rate in limits:
        args += [rate.limit, int((rate.window + MARGIN) * 1000)]
    wait, limit_number = _script(broker)(keys=keys, args=args)
    return int(wait), int(limit_number)


@lru_cache(maxsize=1)
def _script(broker: Broker) -> Any:
    return broker.client.register_script(_SCRIPT)
