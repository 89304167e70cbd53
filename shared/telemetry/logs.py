"""JSON log lines on stderr.

A line is one JSON object: time, level, logger, event, then what the caller gave as `extra`, then the ids of `log_context`
(job, queue, message, attempt). Ids are logged; message texts and secrets are not.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

#: Ids of what this thread works on; they are added to every line.
_context: ContextVar[dict[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 - never mutated

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

#: Dramatiq repeats these each second of an outage, from every thread; shared/telemetry/outage.py says it once.
_REPEATED = ("Consumer encountered a connection error", "Restarting consumer", "Failed to post_process_message")
#: Loggers with a line for each request, retry or periodic actor at level INFO; URLs in urllib3's warnings are customers'.
_QUIET = {
    "urllib3": "ERROR",
    "httpx2": "WARNING",
    "periodiq": "WARNING",
    "dramatiq.middleware.retries.Retries": "WARNING",
}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its extras and the context's ids."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            **_context.get(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = "".join(traceback.format_exception(record.exc_info[1], limit=-8))
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(level: str) -> None:
    """JSON lines on stderr for everything in this process, whatever was configured before."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8")  # JSON is, whatever the machine's locale says
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: not str(record.msg).startswith(_REPEATED))  # a logger's own does not filter its children
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def context_ids() -> dict[str, Any]:
    """The ids of `log_context` that every line gets now."""
    return _context.get()


@contextmanager
def log_context(**ids: Any) -> Iterator[None]:
    """Adds these ids to every line of the block."""
    token = _context.set({name: value for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        _context.reset(token)
