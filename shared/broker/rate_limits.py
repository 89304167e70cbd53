"""Rate limits of queues and of WhatsApp numbers, shared by all processes through Redis (redis_scripts/admit.lua).

Our own script and not a library's window: a window only says no, and whoever it refused must ask again and again, in no
order. Here a job that is refused gets its turn, by priority and age, so that it comes again once, and then passes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import redis

from shared.broker.consumer import outage
from shared.broker.redis_broker import Broker, get_broker
from shared.config import Rate, settings
from shared.errors import RateLimited
from shared.jobs.ledger import Claim
from shared.queues import Queue

#: Stages that ask at the last moment (shared/channels/sending.py), for their number as well: what does not leave takes no place.
OF_NUMBERS = frozenset({Queue.WHATSAPP_CLOUD, Queue.WHATSAPP_QR})
#: Seconds by which a window is kept wider than it was set: what is let through does not take the same time to arrive.
MARGIN = 0.05
#: Seconds after its turn for which a place in line is kept: a retry of Redis or a busy worker, not a dead one.
PATIENCE = 2.0

_SCRIPT = Path(__file__).with_name("admit.lua").read_text()


def admit(claimed: Claim, number: str | None = None) -> None:
    """Lets a job through the limits of its queue and of its WhatsApp number; free where neither is set.

    Raises RateLimited, until the job's turn. While Redis is away every job passes: a limit must not lose any.
    """
    limits = _limits(claimed.queue, number)
    if not limits:
        return
    try:
        wait, by = _ask(get_broker(), claimed, tuple(limits.items()))
    except redis.RedisError as problem:
        outage.noticed(problem)
        return
    if wait:
        name, rate = list(limits.items())[by - 1]
        raise RateLimited(wait / 1000, f"rate limit of {name}: {rate}")


def limited(queue: Queue) -> bool:
    """Whether the queue has a limit, which a job must be claimed to ask for."""
    return bool(_limits(queue, None))


def _limits(queue: Queue, number: str | None) -> dict[str, Rate]:
    conf = settings()
    wanted: dict[str, Rate | None] = {queue.value: getattr(conf, f"rate_limit_{queue.replace('-', '_')}")}
    if number is not None:
        wanted[number] = conf.rate_limit_whatsapp_number
    return {name: rate for name, rate in wanted.items() if rate is not None}


def _ask(broker: Broker, claimed: Claim, limits: tuple[tuple[str, Rate], ...]) -> tuple[int, int]:
    keys = [f"{broker.namespace}:rate:{name}:{part}" for name, _ in limits for part in ("passed", "line", "due")]
    args: list[Any] = [claimed.job_id, claimed.priority, int(PATIENCE * 1000)]
    for _, rate in limits:
        args += [rate.limit, int((rate.window + MARGIN) * 1000)]
    wait, by = _script(broker)(keys=keys, args=args)
    return int(wait), int(by)


@lru_cache(maxsize=1)
def _script(broker: Broker) -> Any:
    return broker.client.register_script(_SCRIPT)
