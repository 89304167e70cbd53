"""What a worker process does besides jobs: starts, keeps its leases, and hands back what it cannot end."""

from __future__ import annotations

import logging
import threading
from typing import Any

import redis
from dramatiq.broker import Broker, MessageProxy
from dramatiq.common import iter_queue
from dramatiq.middleware import Middleware

from shared import db
from shared.broker.enqueue import enqueue, message_for
from shared.broker.fair_queue import FairQueue
from shared.broker.redis_broker import Broker as SwitchboardBroker
from shared.broker.redis_broker import get_broker, warn_about_forgetful_redis
from shared.config import settings
from shared.jobs import ledger
from shared.telemetry.logs import configure_logging, log_context
from shared.telemetry.sentry import configure_sentry

log = logging.getLogger(__name__)

#: Leases are renewed this many times in their length, so that one slow renewal loses none.
RENEWALS_PER_LEASE = 3


def boot() -> SwitchboardBroker:
    """Settings, logs, Sentry and the broker of a process, in that order; safe to call again."""
    conf = settings()
    configure_logging(conf.log_level)
    configure_sentry(conf)
    broker = get_broker()
    if not any(isinstance(known, Lifecycle) for known in broker.middleware):
        broker.add_middleware(Lifecycle())
    return broker


class Lifecycle(Middleware):
    """Gives the worker its queue, renews leases while it lives, and at its end gives back what is unfinished."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Lanes take turns."""
        worker.work_queue = FairQueue()

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Starts the renewal of leases."""
        threading.Thread(target=self._keep_leases, name="leases", daemon=True).start()
        if isinstance(broker, SwitchboardBroker):
            warn_about_forgetful_redis(broker.client)

    def _keep_leases(self) -> None:
        while not self._stopping.wait(settings().job_lease / RENEWALS_PER_LEASE):
            try:
                ledger.leases.renew()
            except Exception as problem:
                if not db.is_outage(problem):
                    log.exception("leases could not be renewed")
                else:
                    db.outage.noticed(problem)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Leaves to other workers, at once, what this one has not begun; Dramatiq would after its last job."""
        if not isinstance(broker, SwitchboardBroker):
            return
        try:
            broker.retire()
            not_begun: dict[str, list[MessageProxy]] = {}
            for item in iter_queue(worker.work_queue):
                not_begun.setdefault(item.message.queue_name, []).append(item.message)
            for queue_name, messages in not_begun.items():
                worker.consumers[queue_name].requeue_messages(messages)
        except redis.RedisError as problem:
            log.warning("what was not begun comes back when this process counts as dead", extra={"error": str(problem)})

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Hands back what did not end in time: another worker goes on at once, and no attempt is burnt."""
        self._stopping.set()
        try:
            tickets = ledger.leases.hand_back()
        except Exception:
            log.exception("unfinished jobs could not be handed back; their leases will run out")
            return
        if tickets:
            log.warning("handed back", extra={"jobs": [ticket.id for ticket in tickets]})
            _drop_deliveries(broker, tickets)
            enqueue(tickets)


def _drop_deliveries(broker: Broker, tickets: list[ledger.Ticket]) -> None:
    """Acks the deliveries that die with this process, so that new ones are not taken for copies."""
    with log_context(worker=ledger.WORKER_ID):
        for ticket in tickets:
            message = message_for(ticket)
            broker.do_ack(message.queue_name, message.message_id)  # type: ignore[attr-defined]  # RedisBroker.__getattr__
