"""The leases of this process: which jobs it has claimed, renewed while it lives, given back when it shuts down."""

from __future__ import annotations

import threading

from shared.broker.enqueue import Ticket, tickets_of
from shared.config import settings
from shared.db import sql

_queries = sql.load(__file__)


class Leases:
    """The claims that this process holds now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, bool]] = {}

    def add(self, job_id: int, claim: int, at_most_once: bool) -> None:
        """Remembers a claim. `at_most_once`: given back unfinished, its outcome is unknown."""
        with self._lock:
            self._held[job_id] = claim, at_most_once

    def drop(self, job_id: int, claim: int) -> None:
        """Forgets a claim that ended."""
        with self._lock:
            if self._held.get(job_id, (0, False))[0] == claim:
                self._held.pop(job_id, None)

    def clear(self) -> None:
        """Forgets all claims, without ending them: what a killed process does."""
        with self._lock:
            self._held.clear()

    def _snapshot(self) -> tuple[list[int], list[int], list[bool]]:
        with self._lock:
            claims = list(self._held.values())
            return list(self._held), [claim for claim, _ in claims], [at_most_once for _, at_most_once in claims]

    def renew(self) -> None:
        """Extends every lease: a slow call must not be taken over."""
        ids, claims, _ = self._snapshot()
        if ids:
            _queries["renew_leases"].rows(ids=ids, claims=claims, lease=settings().job_lease)

    def release_all(self) -> list[Ticket]:
        """Gives every claim back, its attempt with it; returns the tickets to enqueue."""
        ids, claims, at_most_once = self._snapshot()
        if not ids:
            return []
        return tickets_of(_queries["release_leases"].scalar(ids=ids, claims=claims, at_most_once=at_most_once))


leases = Leases()
