"""Puts right what a crash left: jobs nobody carries, messages of dead workers, dead letters that never ran.

All of it may be done at any time, by anybody, twice. It goes through open jobs in pages, on an index.
"""

from __future__ import annotations

import logging
import time

from shared import db
from shared.broker.enqueue import enqueue, message_for
from shared.broker.redis_broker import get_broker
from shared.channels.delivery_status import apply_parked
from shared.config import settings
from shared.jobs import dead_letter, ledger
from shared.jobs.ledger import Ticket
from shared.queues import Queue

log = logging.getLogger(__name__)

#: Rows of one page: a few milliseconds of PostgreSQL and of Redis.
PAGE = 1_000
#: Seconds for which a job is left to those who just wrote it.
GRACE = 2.0
#: Two sweepers at once would only do the work twice; the number is ours.
LOCK = 7_217_001

_PAGE = """
    select id, queue, priority, 0 as delay_ms,
        not held and (state = 'waiting' and created_at < clock_timestamp() - make_interval(secs => %(grace)s)
            or state = 'delayed' and run_at < clock_timestamp() - make_interval(secs => %(grace)s)
            or state = 'active' and lease_until < clock_timestamp()) as due
    from job where queue = %(queue)s and closed_at is null and id > 0 and id > %(after)s order by id limit %(page)s
"""

# A status that came between a send's statement and its commit found neither the message nor its own time to come back.
_FOUND = """
    select distinct p.provider_id from parked_status p join message m on m.external_id = p.provider_id and m.role = 'assistant'
        and m.chatbot_id = coalesce(p.chatbot_id, m.chatbot_id)
    limit %(page)s
"""

_UNBURIED = """
    select id from job where queue = %(queue)s and closed_at is null and id > 0 and state = 'failed' order by id limit %(page)s
"""

_ORPHANS = """
    select h.queue, h.ordering_key from job h
    where h.queue = %(queue)s and h.closed_at is null and h.held and not exists (
        select from job r where r.queue = h.queue and r.ordering_key = h.ordering_key and r.closed_at is null and not r.held)
    group by h.queue, h.ordering_key limit %(page)s
"""

_RELEASE = "select job_lock(%(queue)s, array[%(ordering_key)s]), job_release(%(queue)s, array[%(ordering_key)s]) as tickets"


def sweep() -> dict[str, int]:
    """One pass over everything; returns how many of each kind it put right. Logs only if there was any."""
    broker = get_broker()
    done = {"rescued": broker.rescue(), "enqueued": 0, "buried": 0, "released": 0}
    for queue in Queue:
        done["released"] += _release_orphans(queue)
        done["enqueued"] += _enqueue_forgotten(queue)
        done["buried"] += _bury_the_dead(queue)
    for row in db.rows(_FOUND, {"page": PAGE}):
        apply_parked(row["provider_id"])
    if any(done.values()):
        log.warning("sweep", extra=done)
    return done


def _enqueue_forgotten(queue: Queue) -> int:
    """Puts jobs that should be on their way and that Redis does not carry onto their queues."""
    after, count = 0, 0
    while True:
        page = db.rows(_PAGE, {"queue": queue, "after": after, "page": PAGE, "grace": GRACE})
        due = [Ticket(row["id"], queue, row["priority"]) for row in page if row["due"]]
        forgotten = _not_carried(due)
        enqueue(forgotten)
        count += len(forgotten)
        if len(page) < PAGE:
            return count
        after = page[-1]["id"]


def _not_carried(tickets: list[Ticket]) -> list[Ticket]:
    by_lane: dict[str, dict[str, Ticket]] = {}
    for ticket in tickets:
        message = message_for(ticket)
        by_lane.setdefault(message.queue_name, {})[message.message_id] = ticket
    missing = ((known, get_broker().missing(lane, list(known))) for lane, known in by_lane.items())
    return [known[message_id] for known, lost in missing for message_id in known if message_id in lost]


def _bury_the_dead(queue: Queue) -> int:
    """Writes the dead letters of jobs whose callback is late, or was lost."""
    return sum(dead_letter.bury(row["id"]) for row in db.rows(_UNBURIED, {"queue": queue, "page": PAGE}))


def _release_orphans(queue: Queue) -> int:
    """Lets lines go on whose head is gone; the locks of schema.sql leave none, an operator's DELETE may."""
    lines = db.rows(_ORPHANS, {"queue": queue, "page": PAGE})
    for line in lines:
        found = db.row(_RELEASE, line)
        enqueue(ledger.tickets_of(found["tickets"] if found else []))
    return len(lines)


def sweep_if_alone() -> bool:
    """Sweeps, unless another process is at it; returns whether it did."""
    with db.connection() as database:
        # A lock of the session, for the sweep is many transactions; it ends with the connection.
        if not database.execute_sql("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]:
            return False
        try:
            sweep()
            _note_the_time()
        finally:
            database.execute_sql("select pg_advisory_unlock(%s)", [LOCK])
    return True


def _note_the_time() -> None:
    get_broker().client.set(_swept_key(), int(time.time()))


def swept_ago() -> float | None:
    """Seconds since the last sweep ended; None if there was none that Redis remembers."""
    found = get_broker().client.get(_swept_key())
    return None if found is None else max(0.0, time.time() - float(found))


def _swept_key() -> str:
    return f"{settings().redis_namespace}:swept-at"
