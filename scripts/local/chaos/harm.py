"""What is done to the system while it works. Each harm is a function that runs until told to stop."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local.embedded import Services
from scripts.local.processes import ProcessManager

log = logging.getLogger(__name__)

#: Seconds from a platform's SIGTERM to its SIGKILL.
PLATFORM_PATIENCE = 25.0
STAGES = ("incoming", "ai", "outgoing", "whatsapp_cloud", "whatsapp_qr", "webhooks")


@dataclass
class Target:
    """What harm may reach; `did` tells of each blow."""

    services: Services
    processes: ProcessManager
    choice: random.Random
    did: Callable[[str], None]
    stopping: threading.Event
    progress: Callable[[], float]
    shutdowns: list[float] = field(default_factory=list)

    def reached(self, share: float) -> bool:
        """Waits until that share of the load is answered: harm falls where the work is. False if all is over."""
        while not self.stopping.wait(0.2):
            if self.progress() >= share:
                return True
        return False


Harm = Callable[[Target], None]


def kill_workers(target: Target) -> None:
    """kill -9 of a random worker process every second; the process manager starts it again."""
    while not target.stopping.wait(1.0):
        name = target.choice.choice(STAGES)
        pids = _workers_of(target, name)
        if pids:
            victim = target.choice.choice(pids)
            _signal(victim, signal.SIGKILL)
            target.did(f"kill -9 {name} ({victim})")


def lose_redis(target: Target) -> None:
    """Redis killed and started again empty, twice."""
    for share in (0.15, 0.55):
        if not target.reached(share):
            return
        target.services.redis_kill()
        target.did("redis killed")
        time.sleep(1.0)
        target.services.redis_start(empty=True)
        target.did("redis back, empty")


def crash_postgres(target: Target) -> None:
    """pg_ctl stop -m immediate and start, twice."""
    for share in (0.25, 0.65):
        if not target.reached(share):
            return
        target.services.postgres_crash()
        target.did("postgres crashed")
        time.sleep(1.0)
        target.services.postgres_start()
        target.did("postgres back")


def deploy(target: Target) -> None:
    """Every process SIGTERMed in turn, as a platform does; it has 25 s to end."""
    for name in STAGES:
        if target.stopping.wait(1.0):
            return
        before, begun = set(target.processes.pids(name)), time.monotonic()
        target.processes.terminate(name)
        while before & set(target.processes.pids(name)) and time.monotonic() - begun < PLATFORM_PATIENCE:
            time.sleep(0.05)
        for pid in before:
            _signal(pid, signal.SIGKILL)
        target.shutdowns.append(time.monotonic() - begun)
        target.did(f"{name} deployed, ended after {target.shutdowns[-1]:.1f} s")


def freeze(target: Target) -> None:
    """A worker stopped past its lease and continued, three times."""
    for _ in range(3):
        if target.stopping.wait(2.0):
            return
        name = target.choice.choice(STAGES)
        pids = _workers_of(target, name)
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        target.did(f"{name} frozen")
        target.stopping.wait(20.0)
        for pid in pids:
            _signal(pid, signal.SIGCONT)
        target.did(f"{name} goes on")


def _workers_of(target: Target, name: str) -> list[int]:
    """The processes that run jobs: those without children of their own."""
    pids = target.processes.pids(name)
    parents = {_parent(pid) for pid in pids}
    return [pid for pid in pids if pid not in parents and _is_python(pid)]


def _is_python(pid: int) -> bool:
    try:
        return b"dramatiq" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
