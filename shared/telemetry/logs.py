"""What an operator sees: JSON log lines, Sentry, and one line for the beginning and the end of an outage.

A line is one JSON object: time, level, logger, event, then what the caller gave as `extra`, then the job in hand
(job, queue, message, attempt). Ids reach it; message texts and secrets do not.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import sentry_sdk
from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware
from sentry_sdk.integrations.dramatiq import DramatiqIntegration

from shared.config import Settings

#: The job this thread has in hand; its ids are added to every line.
_in_hand: ContextVar[dict[str, Any]] = ContextVar("in_hand", default={})  # noqa: B039 - never mutated

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Dramatiq repeats these each second of an outage, from every thread; `Outage` says it once.
_REPEATED = ("Consumer encountered a connection error", "Restarting consumer", "Failed to post_process_message")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its extras and the job in hand."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            **_in_hand.get(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = "".join(traceback.format_exception(record.exc_info[1], limit=-8))
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(level: str) -> None:
    """JSON lines on stderr for everything in this process, whatever was configured before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("dramatiq.worker").addFilter(lambda record: not str(record.msg).startswith(_REPEATED))
    for chatty in ("urllib3", "dramatiq.middleware.retries.Retries"):
        logging.getLogger(chatty).setLevel("WARNING")


def configure_sentry(conf: Settings) -> None:
    """Errors to Sentry, if SENTRY_DSN is set: no local variables, no bodies, for those hold customers' messages."""
    if conf.sentry_dsn:
        sentry_sdk.init(
            dsn=conf.sentry_dsn,
            environment=conf.sentry_environment,
            integrations=[DramatiqIntegration()],
            include_local_variables=False,
            max_request_body_size="never",
            send_default_pii=False,
        )


@contextmanager
def log_context(**ids: Any) -> Iterator[None]:
    """Adds these ids to every line of the block."""
    token = _in_hand.set({name: value for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        _in_hand.reset(token)


class Timings:
    """Milliseconds that each phase of a job took, for the line that ends it."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.ms: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Ends a phase: what passed since the last mark is its time."""
        now = time.perf_counter()
        self.ms[phase] = round(self.ms.get(phase, 0) + (now - self._last) * 1000, 2)
        self._last = now


class Outage:
    """One log line when a service goes, one when it is back."""

    def __init__(self, service: str) -> None:
        self._service, self._log = service, logging.getLogger(__name__)
        self._lock = threading.Lock()
        self._since: float | None = None

    def noticed(self, problem: BaseException) -> None:
        """Logs the first problem of an outage."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
                self._log.error(f"{self._service} does not answer; waiting for it", extra={"error": str(problem).strip()})

    def over(self) -> None:
        """Logs the end of an outage, if there was one."""
        if self._since is None:  # the common case, without the lock
            return
        with self._lock:
            if self._since is not None:
                seconds = round(time.monotonic() - self._since, 1)
                self._log.warning(f"{self._service} answers again", extra={"seconds": seconds})
                self._since = None


class WorkerLogging(Middleware):
    """Says in Dramatiq's own terms that a worker began and ended."""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """One line when the worker takes jobs."""
        queues = sorted(worker.consumers)
        logging.getLogger(__name__).info("worker is ready", extra={"queues": queues, "threads": worker.worker_threads})

    def before_delay_message(self, broker: Broker, message: MessageProxy) -> None:
        """Stock delays do not happen here (shared/broker/redis_broker.py moves delayed messages); say so if one does."""
        logging.getLogger(__name__).warning("a message is delayed in memory", extra={"message_id": message.message_id})
