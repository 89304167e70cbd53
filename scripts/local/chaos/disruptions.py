"""What disrupts the running system. Each disruption is a function that runs in its own thread until it is stopped."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from scripts.local.chaos.outside import Outside
from scripts.local.chaos.surroundings import Surroundings
from scripts.local.embedded import Services
from scripts.local.processes import ProcessManager

#: Seconds from a platform's SIGTERM to its SIGKILL.
PLATFORM_GRACE = 25.0
#: Seconds that a process which is killed again and again is left to start (scripts/local/processes.py) and to work.
RECOVERY = 12.0


@dataclass
class Target:
    """The system under test. `say` tells who watches, `progress` returns the answered share of the load.

    `workers` are the process types that run jobs.
    """

    services: Services
    processes: ProcessManager
    workers: Sequence[str]
    choice: random.Random
    say: Callable[[str], None]
    progress: Callable[[], float]
    outside: Outside
    around: Surroundings = field(default_factory=Surroundings)
    stopping: threading.Event = field(default_factory=threading.Event)
    injections: list[str] = field(default_factory=list)
    shutdowns: list[float] = field(default_factory=list)
    #: When the last outage was over (Unix time); 0.0: there was none.
    over_at: float = 0.0
    #: What disruptions themselves found wrong.
    wrong: list[str] = field(default_factory=list)

    def report(self, injection: str) -> None:
        """Tells of an injection. Without any a run has shown nothing."""
        self.injections.append(injection)
        self.say(f"  {injection}")

    def over(self, what: str) -> None:
        """Reports the end of an outage: everything works again, at least for new connections."""
        self.over_at = time.time()
        self.report(what)

    def reached(self, share: float) -> bool:
        """Waits until this share of the load is answered, so that the injection meets a busy system. False if the run is over."""
        while not self.stopping.wait(0.2):
            if self.progress() >= share:
                return True
        return False

    def expect(self, happened: Callable[[], object], seconds: float, otherwise: str) -> None:
        """Waits until it has; says what is wrong if it does not within these seconds."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                self.wrong.append(f"{otherwise} within {seconds:.0f} s; take more --messages")
                return
            time.sleep(0.5)


Disruption = Callable[[Target], None]


def kill_workers(target: Target) -> None:
    """kill -9 of a random worker process every second; the process manager restarts it. Of a single one, every 12 s."""
    pause = 1.0
    while not target.stopping.wait(pause):
        name = target.choice.choice(target.workers)
        pids = workers_of(target, name)
        if pids:
            victim = target.choice.choice(pids)
            _signal(victim, signal.SIGKILL)
            target.report(f"kill -9 {name} ({victim})")
            pause = 1.0 if len(target.workers) > 1 else RECOVERY


def lose_redis(target: Target) -> None:
    """Redis killed and restarted empty, twice."""
    for share in (0.15, 0.55):
        if not target.reached(share):
            return
        target.services.redis_kill()
        target.report("Redis killed")
        time.sleep(1.0)
        target.services.redis_start(empty=True)
        target.report("Redis restarted, empty")


def crash_postgres(target: Target) -> None:
    """pg_ctl stop -m immediate and start, twice."""
    for share in (0.25, 0.65):
        if not target.reached(share):
            return
        target.services.postgres_crash()
        target.report("PostgreSQL crashed")
        time.sleep(1.0)
        target.services.postgres_start()
        target.report("PostgreSQL restarted")


def deploy(target: Target) -> None:
    """SIGTERM to every process type in turn, as a platform sends it; each has PLATFORM_GRACE seconds to end."""
    for name in target.workers:
        if target.stopping.wait(1.0):
            return
        before, begun = set(target.processes.pids(name)), time.monotonic()
        target.processes.terminate(name)
        while before & set(target.processes.pids(name)) and time.monotonic() - begun < PLATFORM_GRACE:
            time.sleep(0.05)
        for pid in before:
            _signal(pid, signal.SIGKILL)
        target.shutdowns.append(time.monotonic() - begun)
        target.report(f"{name} deployed, ended after {target.shutdowns[-1]:.1f} s")


def freeze(target: Target) -> None:
    """The workers of a random process type stopped past their leases and continued, three times."""
    for _ in range(3):
        if target.stopping.wait(2.0):
            return
        name = target.choice.choice(target.workers)
        pids = workers_of(target, name)
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        target.report(f"{name} frozen")
        target.stopping.wait(20.0)
        for pid in pids:
            _signal(pid, signal.SIGCONT)
        target.report(f"{name} continued")


def workers_of(target: Target, name: str) -> list[int]:
    """The processes that run jobs: the children of the line's first process.

    Not the dead that it has not waited for yet: killed again, they would count as injections that disrupt nothing.
    """
    leader, *others = target.processes.pids(name) or [0]
    return [pid for pid in others if _is_living_child(pid, leader)]


def _is_living_child(pid: int, parent: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.ppid() == parent and process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
