"""Messages that a living worker has had in hand for long although nobody works on their jobs.

The last of three nets for a message that Redis handed to a process and that never came to a thread. The process itself finds
one after a broken connection, and by comparing counts with Redis (shared/broker/consumer.py); this finds whatever those miss.
A message that only waits behind slow calls is put back as well: another worker may have room, and claims see to it that
its job runs once.
"""

from __future__ import annotations

import time

from shared.broker.census import Hand, in_hand
from shared.broker.enqueue import job_id_of
from shared.broker.redis_broker import get_broker
from shared.db import sql
from shared.queues import MAINTENANCE_QUEUE

#: Seconds in hand after which a message of a job that nobody claimed goes back. Longer than a process needs to find it itself
#: (10 s for a dead connection, 8 s by counts).
TOO_LONG = 20.0


class StuckMessages:
    """What workers had in hand at the last sweeps, and since when."""

    def __init__(self, unclaimed_jobs: sql.Query) -> None:
        self._unclaimed_jobs = unclaimed_jobs
        self._since: dict[Hand, float] = {}

    def put_back(self) -> int:
        """Puts back what has been in hand for too long; returns how many messages. Another sweep does so too, and harmlessly."""
        now = time.monotonic()
        self._since = {hand: self._since.get(hand, now) for hand in in_hand()}
        late = [hand for hand, since in self._since.items() if now - since > TOO_LONG and hand.queue != MAINTENANCE_QUEUE]
        stuck = self._unclaimed(late)
        for hand in stuck:
            get_broker().give_back(hand.queue, [hand.message_id], hand.worker)
        return len(stuck)

    def _unclaimed(self, hands: list[Hand]) -> list[Hand]:
        """Those whose job nobody works on, and those that are no job's: a dead letter may run twice."""
        jobs = {hand: job_id for hand in hands if (job_id := job_id_of(hand.message_id)) is not None}
        if not hands:
            return []
        unclaimed = {row["id"] for row in self._unclaimed_jobs.rows(ids=list(jobs.values()))}
        return [hand for hand in hands if jobs.get(hand) in unclaimed or hand not in jobs]
