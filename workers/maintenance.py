"""Housekeeping. Periodiq's jobs prune old records and sweep each minute; in between, a ticker sweeps every few seconds.

python -m shared.jobs.supervisor dramatiq workers.maintenance    does it
periodiq shared.jobs.scheduled:start workers.maintenance         says when
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import dramatiq
import redis
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, SkipMessage
from periodiq import PeriodiqMiddleware, cron

from shared import db
from shared.broker.connection import outage
from shared.budgets import budgets, meter, usage
from shared.channels import changes, contacts, delivery_status, health, ownership
from shared.channels.whatsapp_cloud import template_sync
from shared.channels.whatsapp_qr import acks, lids
from shared.channels.widget import drafts
from shared.config import settings
from shared.db.outage import TOO_SLOW
from shared.jobs import prune, scheduled, worker_process
from shared.jobs.independent import run_each
from shared.jobs.sweep import release_orphans, sweep_if_alone
from shared.knowledge import sources
from shared.media import files
from shared.operations import bulk_actions, dead_letters, overview, pauses, replays, webhook_recovery
from shared.people import audit, notices
from shared.privacy import marks
from shared.privacy import retention as message_retention
from shared.queue_service import QueueService
from shared.queues import MAINTENANCE_QUEUE
from shared.teaching import gaps
from shared.webhooks import failing, redelivery, retention
from shared.webhooks import notices as endpoint_notices

log = logging.getLogger(__name__)

#: Seconds after which a periodic job that waited is skipped: others have come since. Each is quick.
SKIP_AFTER = 3600
EACH_MINUTE = "* * * * *"
#: Seconds between steps of bulk actions: somebody watches them.
BULK_INTERVAL = 1.0
#: What forgets old records; each says how many of what.
PRUNES: tuple[Callable[[], dict[str, int]], ...] = (
    prune.prune_recent_jobs,
    delivery_status.prune_inbound,
    changes.prune,
    sources.prune_uploads,
    drafts.prune,
    gaps.prune,
    contacts.prune,
    dead_letters.prune,
    audit.prune,
    retention.prune,
    marks.prune,
    message_retention.prune_answers,
)
#: What a step of each kind of bulk action does.
STEPS: dict[str, bulk_actions.Step] = {replays.KIND: replays.step, webhook_recovery.KIND: webhook_recovery.step}


def is_outage_told(problem: Exception) -> bool:
    """Whether nothing is wrong but that PostgreSQL or Redis is away; then the log says so, once for an outage. A statement that
    takes too long is the fault of who runs it."""
    if isinstance(problem, redis.RedisError):
        outage.noticed(problem)
        return True
    if is_away := db.is_outage(problem) and db.word_for(problem) != TOO_SLOW:
        db.outage.noticed(problem)
    return is_away


class Ticker(Middleware):
    """Sweeps every SWEEP_INTERVAL_SECONDS, and goes on with bulk actions: cron's minute is too long for a person who waits."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Starts the ticking."""
        worker_process.start_thread("sweep", self._tick)
        worker_process.start_thread("bulk-actions", self._step)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Ends it."""
        self._stopping.set()

    def _tick(self) -> None:
        expect = scheduled.note  # what was before this process began says nothing of the scheduler
        while not self._stopping.wait(settings().sweep_interval):
            try:
                expect()
                expect = scheduled.expect
                sweep()
                db.answered()
            except Exception as error:  # the next tick tries again
                if not is_outage_told(error):
                    log.warning("sweep_failed", extra={"error": f"{type(error).__name__}: {error}"})

    def _step(self) -> None:
        while not self._stopping.wait(BULK_INTERVAL):
            try:
                bulk_actions.run(STEPS)
            except Exception as error:  # its step is undone; the next tick tries again
                if is_outage_told(error):
                    continue
                log.warning("bulk_actions_failed", extra={"error": f"{type(error).__name__}: {error}"})


class Periodic(dramatiq.Actor[Any, Any]):
    """An actor that the scheduler sends. While Redis is away it sends nothing, and goes on. While PostgreSQL is away it does
    nothing, and the next one does it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Does it. An outage is told in a line, and no traceback."""
        try:
            scheduled.note()
            return super().__call__(*args, **kwargs)
        except Exception as problem:
            if not is_outage_told(problem):
                raise
            return None

    def send_with_options(self, **options: Any) -> dramatiq.Message[Any]:
        """Sends; a Redis that is away is logged. The next minute's jobs do what these would have done."""
        try:
            return super().send_with_options(**{**options, "scheduled_at": scheduled.now().isoformat()})
        except redis.RedisError as problem:
            outage.noticed(problem)
            return self.message_with_options(args=(), kwargs={}, **options)


class Punctual(PeriodiqMiddleware):  # type: ignore[misc]  # periodiq has no types
    """Skips jobs that have waited for too long. By Redis' clock, as they were sent: with its own, a machine whose clock is ahead
    would skip them all."""

    def before_process_message(self, broker: Broker, message: dramatiq.Message[Any]) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Raises SkipMessage. While Redis is away the job itself says so."""
        with suppress(redis.RedisError):
            sent_at = message.options.get("scheduled_at")
            if sent_at and (scheduled.now() - datetime.fromisoformat(sent_at)).total_seconds() > SKIP_AFTER:
                raise SkipMessage


broker = worker_process.boot()
broker.add_middleware(Punctual())
broker.add_middleware(Ticker())


def periodic(when: str) -> Callable[[Callable[[], None]], dramatiq.Actor[Any, Any]]:
    """Makes a function an actor that the scheduler sends; `when`: as in a crontab."""
    return dramatiq.actor(queue_name=MAINTENANCE_QUEUE, periodic=cron(when), max_retries=0, broker=broker, actor_class=Periodic)


def sweep() -> None:
    """One pass over jobs, and over what else a crash has left behind, or has become due."""
    run_each(_sweep_steps())


def _sweep_steps() -> Iterator[Callable[[], object]]:
    """The others' turn comes also where jobs could not be swept, but not where another process sweeps."""
    is_ours = True

    def sweep_jobs() -> None:
        nonlocal is_ours
        is_ours = sweep_if_alone()

    yield sweep_jobs
    if is_ours:
        yield redelivery.redeliver_due
        yield redelivery.release_held
        yield from (delivery_status.apply_late_statuses, changes.apply_late_reactions)
        yield contacts.settle
        yield partial(changes.accept_overdue, QueueService().accept_messages)
        yield health.send_scouts
        yield pauses.release_ended
        yield _sweep_reservations


def _sweep_reservations() -> None:
    if swept := meter.sweep():
        log.warning("reservations_swept", extra={"count": swept})


@periodic(EACH_MINUTE)
def prune_records() -> None:
    """Forgets old records: jobs, statuses that nobody waits for, inbound items without a place, uploads that nobody
    could read, drafts of replies, questions without an answer, names that their person gave up, dead letters and
    bulk actions, the audit, webhook events and attempts, marks of erased persons, kept answers of the API."""
    deleted: dict[str, int] = {}
    try:
        run_each(partial(_prune, one, deleted) for one in PRUNES)
    finally:
        _tell("records_pruned", deleted)


def _prune(one: Callable[[], dict[str, int]], deleted: dict[str, int]) -> None:
    deleted |= one()


def _tell(event: str, deleted: dict[str, int]) -> None:
    if any(deleted.values()):
        log.info(event, extra=deleted)


@periodic("23 * * * *")
def prune_late_jobs() -> None:
    """Forgets job records that prune_records has missed: nobody called it for hours, or PostgreSQL's clock was wrong."""
    _tell("records_pruned", prune.prune_jobs())


@periodic(EACH_MINUTE)
def prune_media() -> None:
    """Deletes files that were kept for KEEP_MEDIA_DAYS, or that no message has. By itself: their storage may be away."""
    _tell("media_pruned", files.prune())


@periodic("17 */6 * * *")
def prune_messages() -> None:
    """Deletes messages that were kept for KEEP_MESSAGES_DAYS. Not each minute: it looks at every old conversation."""
    _tell("messages_pruned", message_retention.prune())


@periodic(EACH_MINUTE)
def sweep_jobs() -> None:
    """Puts right what a crash left."""
    sweep()


@periodic(EACH_MINUTE)
def release_orphaned_jobs() -> None:
    """Lets conversations go on whose first open job somebody has deleted."""
    release_orphans()


@periodic(EACH_MINUTE)
def count_throughput() -> None:
    """Keeps what each queue did in the minutes that are over, before job records are pruned; what was used on days that are over;
    settles failures that arrived; counts budgets once more that were set a minute ago."""
    run_each((overview.count_minutes, usage.count_days, dead_letters.settle, budgets.recount_due))


@periodic(EACH_MINUTE)
def return_conversations() -> None:
    """Gives the bot back what people took over and have left alone."""
    if returned := ownership.return_idle():
        log.info("conversations_returned", extra={"count": returned})


@periodic(EACH_MINUTE)
def watch_gateways() -> None:
    """Holds the replies of gateways that take them and send nothing."""
    acks.watch()


@periodic(EACH_MINUTE)
def look_up_lids() -> None:
    """Asks gateways for the phones of contacts that are known only by a @lid."""
    lids.look_up()


@periodic(EACH_MINUTE)
def watch_endpoints() -> None:
    """Tells businesses of webhook endpoints that only fail, and disables them in the end."""
    failing.watch()


@periodic(EACH_MINUTE)
def tell_people() -> None:
    """E-mails a business's people that customers wait for them, and its owners that a budget nears its end."""
    notices.tell()


@periodic(EACH_MINUTE)
def send_notices() -> None:
    """E-mails owners about webhook endpoints that only fail, until the mail server has taken it."""
    endpoint_notices.send_due()


@periodic(EACH_MINUTE)
def sync_sources() -> None:
    """Starts to read again the pages and sites whose time has come (sync_hours)."""
    sources.sync_due()


@periodic(EACH_MINUTE)
def sync_templates() -> None:
    """Reads WhatsApp's message templates where the list is wanted or old."""
    template_sync.sync_due()
