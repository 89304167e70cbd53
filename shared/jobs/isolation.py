"""Runs a suspect alone in a process: what it does to that process, it does to no other job.

A job that a worker died with is a suspect, and so is every job that this worker had in hand: up to one for each thread. Tried one
by one in processes of their own, the innocent ones are done at once, and only the one that kills again is blamed.

The processes are forked from one that has imported the stages and does nothing else (shared/jobs/isolated.py). It is started for
the first suspect and ends when there was none for a while, so it costs memory only then.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from shared import db
from shared.config import settings
from shared.db import sql
from shared.errors import LeaseLost, Snooze
from shared.jobs.ledger import Job, insist, leases
from shared.jobs.outcome import AttemptEnded

queries = sql.load(__file__)

#: Suspects of a worker process that run at the same time. Each has connections of its own to PostgreSQL and Redis.
MAX_AT_ONCE = 4
#: Seconds for which a thread waits for its turn; then others may have it, and the suspect comes again.
PATIENCE, LATER = 0.5, 1.0
#: Times that the process is started which forks the others, before a suspect's attempt fails.
STARTS = 3


class ProcessDied(Exception):
    """The process in which a job ran alone ended before the job did."""


class Isolation:
    """Where a worker process has its suspects executed."""

    def __init__(self) -> None:
        #: The modules of the stages that this process runs.
        self.modules: set[str] = set()
        self._turns = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._starting = threading.Lock()
        self._forks: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def run(self, job: Job) -> AttemptEnded | None:
        """Executes a claimed job in a process of its own, which records the outcome; returns what it has to tell Dramatiq.

        Raises Snooze while enough others run, and ProcessDied.
        """
        if not self._turns.acquire(timeout=PATIENCE):
            raise Snooze(LATER, "a worker died with it; waits for a process of its own")
        try:
            return self._run(job)
        finally:
            self._turns.release()

    def _run(self, job: Job) -> AttemptEnded | None:
        with self._forked() as process:
            process.send(job)
            try:
                ended: AttemptEnded | None = process.recv()
            except (EOFError, OSError):
                raise ProcessDied("its process ended while it ran there alone") from None
            return ended

    def _forked(self) -> Connection:
        """A new process that waits for a job."""
        for _ in range(STARTS):
            ours, theirs = socket.socketpair()
            with theirs, self._starting:
                sent = self._ask_for_fork(theirs)
            process = Connection(ours.detach())
            try:
                if sent and process.recv():
                    return process
            except (EOFError, OSError):  # it ended at this moment because it was idle
                pass
            process.close()
        raise RuntimeError("python -m shared.jobs.isolated does not start; its output says why")

    def _ask_for_fork(self, theirs: socket.socket) -> bool:
        if self._forks is None or self._forks.poll() is not None or self._control is None:
            self._start()
        assert self._control is not None
        try:
            socket.send_fds(self._control, [b"."], [theirs.fileno()])
        except OSError:
            self._forks = None
            return False
        return True

    def close(self) -> None:
        """Ends the process from which others are forked; the next suspect starts a new one."""
        with self._starting:
            if self._control is not None:
                self._control.close()
            if self._forks is not None:
                self._forks.wait()
            self._control = self._forks = None

    def _start(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "shared.jobs.isolated", str(theirs.fileno()), *sorted(self.modules)]
            self._forks = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)


def begin_alone(job: Job) -> None:
    """Notes that a job runs alone in this process, and no more in the worker that claimed it. Raises LeaseLost."""
    _insist_on(queries["begin_alone"], job)
    leases.add(job.id, job.claim, at_most_once=False)


def lost_alone(job: Job) -> int:
    """Counts that the process died in which a job ran alone; returns how many workers it lost. Raises LeaseLost."""
    return int(_insist_on(queries["lost_alone"], job))


def _insist_on(query: sql.Query, job: Job) -> Any:
    """What a statement about a claim answers. Raises LeaseLost if it answers nothing."""
    write = partial(query.scalar, job_id=job.id, claim=job.claim)
    answer = insist(lambda: db.retry_on_outage(write, settings().job_lease))
    if answer is None:
        raise LeaseLost(f"job {job.id}: claim {job.claim} is over")
    return answer
