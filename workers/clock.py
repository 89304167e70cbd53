"""The clock of processes that run all stages: sends what periodiq's process type `scheduler` sends elsewhere.

A small system saves that process, and Heroku's smallest plan has no room for a third one. Any number of these processes may
run: each minute of Redis' clock is one key in Redis, and whoever sets it sends. What is sent may be done twice
(workers/maintenance.py).
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware

from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.jobs import scheduled, worker_process

log = logging.getLogger(__name__)

#: Seconds for which Redis remembers that a minute's jobs were sent.
REMEMBERED = 600


class Clock(Middleware):
    """Sends the actors that have a `periodic`, for each minute for which theirs says so: for that of its start at once."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Starts the clock."""
        worker_process.start_thread("clock", self._tick)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Stops it."""
        self._stopping.set()

    def _tick(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            wait = 60.0
            try:
                send_due(scheduled.now())
                wait = 60 - scheduled.now().timestamp() % 60
            except Exception as error:
                # The next minute's jobs do what this minute's would have done.
                log.warning("periodic_jobs_not_sent", extra={"error": f"{type(error).__name__}: {error}"})


def send_due(now: datetime) -> bool:
    """Sends what is due in this minute; False if another process did."""
    broker = get_broker()
    key = f"{settings().redis_namespace}:clock:{now:%Y-%m-%dT%H:%M}"
    if not broker.client.set(key, 1, nx=True, ex=REMEMBERED):
        return False
    for actor in broker.actors.values():
        if "periodic" in actor.options and actor.options["periodic"].validate(now):
            actor.send_with_options(scheduled_at=now.isoformat())
    return True


worker_process.boot().add_middleware(Clock())
