"""The process from which those of suspects are forked: python -m shared.jobs.isolated FD MODULE…

It imports the stages, and then forks for each connection that comes over FD a process that executes one job and ends. It has no
threads and no connections, so that its forks begin clean. The worker started it; it ends when the worker does, or when it was
idle for a while. A platform's SIGTERM is for the worker, which waits for its suspects as for all jobs.
"""

from __future__ import annotations

import importlib
import logging
import os
import random
import signal
import socket
import sys
import threading
from multiprocessing.connection import Connection
from typing import NoReturn

import sentry_sdk

from shared.jobs import stage
from shared.jobs.worker_process import keep_leases
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Seconds without a suspect after which the process ends, and its memory is free.
IDLE = 10.0
#: Seconds for a report to reach Sentry.
REPORT_TIMEOUT = 2.0


def main() -> None:
    """Forks until nobody asks any more."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: their worker sees them end
    control = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    control.settimeout(IDLE)
    while process := _next(control):
        if os.fork() == 0:
            control.close()
            _end_after(process)
        process.close()


def _next(control: socket.socket) -> Connection | None:
    """The connection of the next suspect's process."""
    try:
        asked, fds, _, _ = socket.recv_fds(control, 1, 1)
    except TimeoutError:
        return None
    return Connection(fds[0]) if asked else None


def _end_after(worker: Connection) -> NoReturn:
    """Executes the job of this process, and ends it."""
    try:
        _execute_one(worker)
    except (OSError, EOFError):  # the worker is gone; the job's outcome is recorded
        pass
    except BaseException:
        log.exception("isolated_process_failed")
    finally:
        os._exit(0)


def _execute_one(worker: Connection) -> None:
    random.seed()
    worker.send(True)
    job = worker.recv()
    threading.Thread(target=keep_leases, args=(threading.Event(),), name="leases", daemon=True).start()
    ended = stage.STAGES[job.queue].execute_alone(job)
    metrics.flush()
    sentry_sdk.flush(REPORT_TIMEOUT)
    worker.send(ended)


if __name__ == "__main__":
    main()
