"""One log line when PostgreSQL or Redis goes away, and one when it is back, however many threads notice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Outage:
    """Whether a service is away now, as far as this process knows.

    `word_for` says in a few words what a problem is.
    """

    #: Seconds without a problem after which the outage is over: while some calls fail, others may well succeed.
    calm = 3.0

    def __init__(self, service: str, word_for: Callable[[BaseException], str]) -> None:
        self._service, self._word_for = service, word_for
        self._lock = threading.Lock()
        self._since: float | None = None
        self._noticed = 0.0
        self._logged: set[str] = set()
        #: What was wrong when it was noticed last; "" if nothing is, as far as this process knows.
        self.latest = ""

    def noticed(self, problem: BaseException) -> None:
        """Logs the first problem of an outage, and the first of each other kind."""
        word = self._word_for(problem)
        with self._lock:
            self._noticed, self.latest = time.monotonic(), word
            self._since = self._noticed if self._since is None else self._since
            if word not in self._logged:
                self._logged.add(word)
                extra = {"service": self._service, "reason": word, "error": str(problem).strip()}
                log.error("service_unavailable", extra=extra)

    def has_been(self, words: frozenset[str]) -> bool:
        """Whether one of these was what is wrong, at any time since the service went away."""
        return not self._logged.isdisjoint(words)

    def lasts(self) -> float | None:
        """Seconds since it was noticed first; None if nothing is wrong, as far as this process knows."""
        since = self._since
        return None if since is None else time.monotonic() - since

    def over(self) -> None:
        """Logs the end of an outage, if there was one."""
        if self._since is None:  # the common case, without the lock
            return
        with self._lock:
            now = time.monotonic()
            if self._since is not None and now >= self._noticed + self.calm:
                log.warning("service_recovered", extra={"service": self._service, "seconds": round(now - self._since, 1)})
                self._end()

    def forget(self) -> None:
        """As if nothing had been noticed."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._since, self.latest = None, ""
        self._logged.clear()
