"""gunicorn's settings (--config python:web.gunicorn_conf). The Procfile says how many processes and threads.

gthread: an open stream is a sleeping thread, and psycopg2 needs no monkey patching.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from web.widget.sse import close_streams

#: Seconds for a whole request to arrive, and for a client to read its answer (web/gunicorn_worker.py). It does not bound how long
#: an open stream lasts.
timeout = 30
#: Seconds in which a process must end after SIGTERM: a platform's 30, less a margin.
graceful_timeout = 20
#: Seconds an idle connection is kept: longer than the load balancers that keep theirs for 60.
keepalive = 75
worker_connections = 4_000
#: Bytes of a request line and of a header; counts and sizes above these are refused before the application.
limit_request_line = 4_094
limit_request_fields = 64
#: In memory: a heartbeat on a slow disk would look like a hanging process.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
accesslog = None
loglevel = "warning"
#: gunicorn's own lines go the way of all others (shared/telemetry/logs.py).
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {"gunicorn.error": {"level": "WARNING", "handlers": [], "propagate": True}},
}


def post_worker_init(worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """At SIGTERM the streams end first: gunicorn waits for its threads, and these would sleep until they are killed."""
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        close_streams()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)
