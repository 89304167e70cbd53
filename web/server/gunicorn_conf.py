"""gunicorn's settings (--config python:web.server.gunicorn_conf). The Procfile says how many processes."""

from __future__ import annotations

import os
import resource
from typing import Any

worker_class = "web.server.connection.Worker"
#: Seconds for a whole request to arrive, and for a client to read its answer (web/server/connection.py). It does not bound how
#: long an open stream lasts.
timeout = 30
#: Seconds in which a process must end after SIGTERM: a platform's 30, less a margin.
graceful_timeout = 20
#: Seconds an idle connection is kept: longer than the load balancers that keep theirs for 60.
keepalive = 75
#: In memory: a heartbeat on a slow disk would look like a hanging process.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
#: What Linux allows a process at most, unless it is told otherwise (fs.nr_open).
MOST_DESCRIPTORS = 1_048_576
#: Nobody manages a running server by gunicornc, and a user without a home has no place for its socket.
control_socket_disable = True
accesslog = None
loglevel = "warning"
#: gunicorn's own lines go the way of all others (shared/telemetry/logs.py).
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {"gunicorn.error": {"level": "WARNING", "handlers": [], "propagate": True}},
}


def raise_descriptor_limit() -> None:
    """As many file descriptors as this user may have: each open page is one, and the usual limit of 1,024 is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError):  # a platform with limits of its own
        pass


raise_descriptor_limit()


def on_starting(server: Any) -> None:
    """A server without a process would listen and never answer: it ends instead, and names the setting."""
    if server.cfg.workers < 1:
        from shared.config import settings  # here, because the workers import it for themselves

        settings()
