"""Puts right what a crash left: jobs that Redis lost, messages of dead workers, dead letters that never ran.

All of it may be done at any time, by anybody, twice. It goes through open jobs in pages, on an index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from redis.exceptions import LockError
from redis.lock import Lock

from shared import db, queues
from shared.broker import strays
from shared.broker.census import in_hand
from shared.broker.enqueue import Ticket, enqueue, job_id_of, message_for, tickets_of
from shared.broker.last_time import LastTime
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.db import sql
from shared.jobs.dead_letter import request_dead_letters
from shared.jobs.independent import run_each
from shared.jobs.ledger import expire_leases_of
from shared.jobs.stuck import StuckMessages
from shared.queues import Queue

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Rows of one page: a few milliseconds of PostgreSQL and of Redis.
PAGE = 1_000
#: Seconds for which a job is left to those who just wrote it.
GRACE = 2.0
#: Seconds that a look at all of a queue's held jobs may take.
PATIENCE = 60.0
#: Seconds without a step after which a sweeper counts as dead. Two at once would only do the work twice, so a longer step does no
#: harm; but where a machine died with its sweeper, the next sweep should not be later than the end of its workers' heartbeats.
LOCKED_FOR = 5

_last_sweep = LastTime("swept-at")
stuck_messages = StuckMessages(queries["unclaimed_jobs"])


def sweep(still_here: Callable[[], object] = lambda: None) -> dict[str, int]:
    """One pass over everything; returns how many of each kind it put right. Logs only if there was any.

    `still_here` is called before each step that may take long. Raises what failed first, when all queues had their turn.
    """
    repaired = {"rescued": _rescue(), "unstuck": stuck_messages.put_back(), "enqueued": 0, "dead_letters": 0}
    sweeps = (partial(_sweep_queue, queue, repaired, still_here) for queue in Queue)
    try:
        run_each([partial(_put_back_strays, repaired), *sweeps])
    finally:
        if any(repaired.values()):
            log.warning("sweep_repaired_jobs", extra=repaired)
    return repaired


def _put_back_strays(repaired: dict[str, int]) -> None:
    repaired["unstuck"] += strays.put_back()


def _sweep_queue(queue: Queue, repaired: dict[str, int], still_here: Callable[[], object]) -> None:
    still_here()
    enqueued = _enqueue_lost_jobs(queue)
    repaired["enqueued"] += 0 if queue in queues.ADDED_BY_DATABASE else enqueued
    repaired["dead_letters"] += _request_dead_letters(queue, still_here)


def _rescue() -> int:
    """Brings back what dead workers had in hand. Of stages that claim nothing, PostgreSQL learns here that a worker was lost."""
    rescued = get_broker().rescue()
    _mark_lost(message_id for queue in queues.UNCLAIMED for message_id in rescued.get(queue, []))
    return sum(len(message_ids) for message_ids in rescued.values())


def _mark_lost(unclaimed: Iterable[str]) -> None:
    ids = [job_id for message_id in unclaimed if (job_id := job_id_of(message_id)) is not None]
    if ids:
        queries["mark_lost"].rows(ids=ids)


def take_over_from(worker: str) -> None:
    """Brings back at once what a worker had in hand that died. Raises what an outage raises; then the sweep does it, later."""
    broker = get_broker()
    expire_leases_of(worker)
    _mark_lost(hand.message_id for hand in in_hand() if hand.worker == worker and hand.queue in queues.UNCLAIMED)
    broker.declare_dead(worker)
    log.warning("work_of_dead_worker_taken_over", extra={"worker": worker, "messages": _rescue()})


def _enqueue_lost_jobs(queue: Queue) -> int:
    """Enqueues jobs that should be on their way and that Redis does not carry."""
    after, count = 0, 0
    while True:
        page = queries["open_jobs"].rows(queue=queue, after=after, page=PAGE, grace=GRACE)
        lost = _not_carried(
            [Ticket(row["id"], queue, row["priority"], customer=row["customer_id"]) for row in page if row["due"]]
        )
        enqueue(lost)
        count += len(lost)
        if len(page) < PAGE:
            return count
        after = page[-1]["id"]


def _not_carried(tickets: list[Ticket]) -> list[Ticket]:
    tickets_by_lane: dict[str, dict[str, Ticket]] = {}
    for ticket in tickets:
        message = message_for(ticket)
        tickets_by_lane.setdefault(message.queue_name, {})[message.message_id] = ticket
    lost = []
    for lane, by_id in tickets_by_lane.items():
        missing = get_broker().missing(lane, list(by_id))
        lost += [ticket for message_id, ticket in by_id.items() if message_id in missing]
    return lost


def _request_dead_letters(queue: Queue, still_here: Callable[[], object]) -> int:
    """Asks the stage for dead letters that are late, or were lost; the oldest may be such as can never be written."""
    after, count = 0, 0
    while True:
        page = queries["late_dead_letters"].rows(queue=queue, after=after, page=PAGE)
        count += request_dead_letters(queue, [job["id"] for job in page], get_broker())
        if len(page) < PAGE:
            return count
        after = page[-1]["id"]
        still_here()


def release_orphans() -> int:
    """Lets ordering keys go on whose head is gone; the locks of schema.sql leave none, an operator's DELETE may. Returns their
    number.

    By itself, and not in the sweep: it looks at all held jobs, and waits as long for a connection that dies meanwhile.
    """
    released = 0
    for queue in Queue:
        with db.patient(PATIENCE):
            keys = queries["orphaned_keys"].rows(queue=queue, page=PAGE)
        for key in keys:
            enqueue(tickets_of(queries["release_orphans"].scalar(queue=queue, ordering_key=key["ordering_key"])))
        released += len(keys)
    if released:
        log.warning("orphans_released", extra={"count": released})
    return released


def sweep_if_alone() -> bool:
    """Sweeps, unless another process is at it; returns whether it did."""
    client = get_broker().client
    # In Redis: a sweep is many transactions, and each of them may have another connection to PostgreSQL.
    lock = client.lock(f"{settings().redis_namespace}:sweeping", timeout=LOCKED_FOR, blocking=False)
    if not lock.acquire():
        return False
    try:
        sweep(partial(keep, lock))
        _last_sweep.note()
    finally:
        with suppress(LockError):  # it took longer than that, and the lock may be another's by now
            lock.release()
    return True


def keep(lock: Lock) -> None:
    """A sweeper's lock lasts for another step."""
    with suppress(LockError):  # the last step took longer than that, and the lock may be another's by now
        lock.extend(LOCKED_FOR, replace_ttl=True)


def swept_ago() -> float | None:
    """Seconds since the last sweep ended; None if there was none that Redis remembers."""
    return _last_sweep.ago()
