"""Dramatiq's middleware that logs what its workers do; the line of each job is shared/jobs' (completion.py, outcome.py)."""

from __future__ import annotations

import logging
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware

log = logging.getLogger(__name__)


class WorkerLogging(Middleware):
    """A line when a worker is ready."""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """The worker takes jobs from now on."""
        log.info("worker_ready", extra={"queues": sorted(worker.consumers), "threads": worker.worker_threads})
