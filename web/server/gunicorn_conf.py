"""gunicorn's settings (--config python:web.server.gunicorn_conf). The Procfile says how many processes."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
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
#: glibc's name for the size from which on a piece of memory is the system's own, not a part of a heap (malloc.h).
M_MMAP_THRESHOLD = -3
#: That size, in bytes: of a password's 19 MiB, of an upload, of an answer.
LARGE = 1_048_576
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


def give_back_large_memory() -> None:
    """Large memory goes back to the system when it is free. glibc keeps what each thread took once: ten threads that have checked
    a password kept 190 MiB."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


raise_descriptor_limit()
give_back_large_memory()


def on_starting(server: Any) -> None:
    """A server without a process would listen and never answer: it ends instead, and names the setting."""
    if server.cfg.workers < 1:
        from shared.config import settings  # here, because the workers import it for themselves

        settings()
