"""What a worker process does besides jobs: starts, renews its leases, and gives back what it cannot finish."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType
from typing import Any

import dramatiq.worker
import redis
from dramatiq.broker import Broker, MessageProxy
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, Retries

from shared import db, queues
from shared.broker import census, identity, rate_limits, suitability
from shared.broker.connection import outage, warn_about_forgetful_redis
from shared.broker.enqueue import Ticket, enqueue, message_for
from shared.broker.fair_queue import FairQueue, thread_limits
from shared.broker.redis_broker import Broker as SwitchboardBroker
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.db import schema_age
from shared.db.database_id import database_id
from shared.jobs import pauses, stored_secrets, write_check
from shared.jobs.ledger import leases
from shared.jobs.sweep import take_over_from
from shared.telemetry.logs import configure_logging
from shared.telemetry.sentry import configure_sentry

log = logging.getLogger(__name__)

#: Seconds within which another signal is the same one: platforms signal every process, and the supervisor its workers as well.
SAME_SIGNAL = 5.0
#: Leases are renewed this many times in their length, so that one slow renewal loses none.
RENEWALS_PER_LEASE = 3
#: New objects after which the garbage collector looks at them: a job makes thousands, and nearly all go by themselves.
COLLECT_AFTER = 5_000


def boot() -> SwitchboardBroker:
    """Settings, logs, Sentry and the broker of a worker process, in that order; safe to call again."""
    conf = settings()
    configure_logging(conf.log_level)
    configure_sentry(conf)
    db.use(db.WORKER)
    broker = get_broker()
    dramatiq.worker.join_all = _join_all  # type: ignore[attr-defined]  # it is what Worker.stop waits with
    if not any(isinstance(middleware, Lifecycle) for middleware in broker.middleware):
        broker.add_middleware(Retries(max_retries=3, min_backoff=1000))  # each actor says its own (shared/jobs/stage.py)
        broker.add_middleware(Lifecycle())
    return broker


class Lifecycle(Middleware):
    """Gives the worker its fair queue, renews leases while it lives, and at its end gives back what is unfinished."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Lanes and stages take turns, and no stage may take all threads from the others.

        Ends the process where what DATABASE_URL or REDIS_URL leads to is unsuitable, or CREDENTIALS_KEY is another database's.
        """
        _take_repeated_signals_for_one()  # before the first job: its thread may be faster than this one
        db.check_address()
        suitability.check_address()
        stored_secrets.check_at_start()
        refresh_pauses()
        limits = thread_limits(worker.worker_threads, map(queues.stage, broker.queues))
        together = {stage for stage in queues.UNCLAIMED if not rate_limits.is_limited(stage)}  # a limit asks job by job
        worker.work_queue = FairQueue(limits, together)
        if isinstance(broker, SwitchboardBroker):
            broker.thread_limits, broker.work_queue = limits, worker.work_queue
        _spare_garbage_collector()

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """Starts the renewal of leases, and takes over what the process had in hand whose place this one takes."""
        start_thread("leases", partial(keep_leases, self._stopping))
        if identity.predecessors:
            start_thread("take-over", _take_over)
        if isinstance(broker, SwitchboardBroker):
            broker.consumer_threads = worker.consumers
            warn_about_forgetful_redis(broker.client)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Requeues at once what this worker has not begun; Dramatiq would do so after its last job."""
        if not isinstance(broker, SwitchboardBroker):
            return
        try:
            broker.retire()
            not_begun: dict[str, list[MessageProxy]] = {}
            for item in worker.work_queue.drain():
                not_begun.setdefault(item.message.queue_name, []).append(item.message)
            for queue_name, messages in not_begun.items():
                worker.consumers[queue_name].requeue_messages(messages)
        except (redis.RedisError, ConnectionClosed) as problem:
            # They return when this process's heartbeat expires.
            log.warning("prefetched_messages_not_requeued", extra={"error": str(problem)})

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Gives back what did not end in time: another worker goes on at once, and no attempt is spent."""
        self._stopping.set()
        give_back(broker)


def start_thread(name: str, work: Callable[[], object]) -> None:
    """Starts what a worker process cannot do without. Ends it where the machine gives it no thread: without its leases it
    would take jobs, lose them in the middle, and look well."""
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:
        sys.exit(
            f"The worker did not start: this machine gives it no thread for {name}. "
            "Raise the limit of processes (ulimit -u, the container's pids limit), or lower the number of threads."
        )


def give_back(broker: Broker) -> None:
    """Gives back all that this process has claimed."""
    try:
        tickets = leases.release_all()
    except Exception:
        log.exception("leases_not_released")  # they will expire
        return
    if tickets:
        log.warning("leases_released", extra={"jobs": [ticket.id for ticket in tickets]})
        _drop_deliveries(broker, tickets)
        enqueue(tickets)


def keep_leases(stopping: threading.Event) -> None:
    """Renews this process's leases until it stops."""
    while not stopping.wait(settings().job_lease / RENEWALS_PER_LEASE):
        try:
            leases.renew()
        except Exception as problem:
            if not db.is_outage(problem):
                log.exception("lease_renewal_failed")
            else:
                db.outage.noticed(problem)
        announce(_which_database() if refresh_pauses() else None)


def announce(database: str | None = None) -> None:
    """Says to operators that this process is there, for which database it works, and of which release it is."""
    broker = get_broker()
    try:
        census.announce(sorted({queues.stage(name) for name in broker.queues}), database, schema_age.newest())
        outage.over()
    except redis.RedisError as problem:
        outage.noticed(problem)
    except Exception:  # leases are renewed by this thread
        log.exception("worker_not_announced")


def _which_database() -> str | None:
    try:
        return database_id()
    except Exception as problem:  # leases are renewed by this thread
        log.warning("database_not_known", extra={"error": f"{type(problem).__name__}: {problem}"})
        return None


def refresh_pauses() -> bool:
    """Learns what is paused; False while PostgreSQL is away: nothing is claimed, and what was known stays."""
    try:
        pauses.current.refresh()
        db.answered()
        if db.refuses_writes():
            write_check.look_again()
        return True
    except Exception as problem:
        if db.is_outage(problem):
            db.outage.noticed(problem)
        else:
            log.warning("pauses_not_read", extra={"error": f"{type(problem).__name__}: {problem}"})
        return False


def _spare_garbage_collector() -> None:
    """What is imported stays. The collector would look through it again and again, and all threads wait, 50 ms each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _take_repeated_signals_for_one() -> None:
    """A second signal ends Dramatiq's worker in the middle of its jobs, unless it comes with the first.

    Also where they differ: a terminal that is closed sends SIGHUP to all, and the supervisor's SIGTERM follows.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handled = float("-inf")

    def handle_first(handler: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
        nonlocal handled
        if time.monotonic() - handled > SAME_SIGNAL:
            handled = time.monotonic()
            handler(number, frame)

    signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as SIGINT: the supervisor, which gets it as well, sends a SIGTERM
    for number in (signal.SIGTERM, signal.SIGHUP):
        if callable(handler := signal.getsignal(number)):
            signal.signal(number, partial(handle_first, handler))


def _join_all(threads: Iterable[threading.Thread], timeout: int) -> None:
    """Waits for threads to end, `timeout` milliseconds in all.

    In place of Dramatiq's, which for each thread subtracts again all the time that has passed: where 32 threads took a second to
    end, a job had three of its 18 seconds.
    """
    deadline = time.monotonic() + timeout / 1000
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _take_over() -> None:
    try:
        for dead in identity.predecessors:
            take_over_from(dead)
    except Exception as problem:  # an outage: the sweep finds it when lease and heartbeat have ended
        log.warning("work_not_taken_over", extra={"error": f"{type(problem).__name__}: {problem}"})


def _drop_deliveries(broker: Broker, tickets: list[Ticket]) -> None:
    """Acks the deliveries that die with this process, so that new ones are not taken for copies."""
    for ticket in tickets:
        message = message_for(ticket)
        broker.do_ack(message.queue_name, message.message_id)  # type: ignore[attr-defined]  # RedisBroker.__getattr__
