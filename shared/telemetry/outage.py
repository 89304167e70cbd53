"""One log line when PostgreSQL or Redis goes away, and one when it is back, however many threads notice."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)


class Outage:
    """Whether a service is away now, as far as this process knows."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._since: float | None = None

    def noticed(self, problem: BaseException) -> None:
        """Logs the first problem of an outage."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                log.error("service_unavailable", extra={"service": self._service, "error": str(problem).strip()})

    def over(self) -> None:
        """Logs the end of an outage, if there was one."""
        if self._since is None:  # the common case, without the lock
            return
        with self._lock:
            if self._since is not None:
                seconds = round(time.monotonic() - self._since, 1)
                log.warning("service_recovered", extra={"service": self._service, "seconds": seconds})
                self._since = None
